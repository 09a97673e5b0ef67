import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Where a store may be, and what is refused there.
@Suite(.ownThreads) struct StorePlaceTests {
    @Test func readingMakesNoStoreAndFindsNothing() {
        let stage = Stage()
        #expect(stage.run("get", "k").code == 1)
        #expect(stage.run("abandon", "k").code == 0)
        #expect(stage.run("remove", "k").code == 0)
        #expect(stage.run("reap").code == 0)
        let list = stage.run("list")
        #expect(list.code == 0 && list.output.isEmpty)
        #expect(stage.run("stats").text == "pending 0\nready 0\nbytes 0\n")
        #expect(stage.run("finalize", "k", "v").code == 76)
        #expect(names(in: stage.directory.path).isEmpty)
    }

    @Test(arguments: [
        "claim k", "get k", "list", "stats", "reap", "finalize k v", "abandon k", "init",
    ])
    func whatIsNoStoreIsRefusedAndNotTouched(command: String) {
        let stage = Stage()
        write("mine".utf8, to: stage.directory("file"))
        mkdir(stage.directory("foreign"), 0o700)
        write("mine".utf8, to: stage.directory("foreign/file"))
        mkdir(stage.directory("hidden"), 0o700)
        write("mine".utf8, to: stage.directory("hidden/.file"))
        mkdir(stage.directory("other"), 0o700)
        write("not a marker\n".utf8, to: stage.directory("other/flock-cache"))
        for place in ["file", "file/below", "foreign", "hidden", "other", "/proc/self/mem"] {
            let path = place.hasPrefix("/") ? place : stage.directory(place)
            let outcome = stage.line("--store \(path) \(command)")
            #expect(outcome.code == 66, "\(place): \(outcome)")
            #expect(outcome.error.contains(path), "\(place): \(outcome)")
            #expect(outcome.error.contains("nothing was touched"), "\(place): \(outcome)")
        }
        #expect(contents(of: stage.directory("file")) == Array("mine".utf8))
        #expect(names(in: stage.directory("foreign")) == ["file"])
        #expect(names(in: stage.directory("hidden")) == [".file"])
        #expect(names(in: stage.directory("other")) == ["flock-cache"])
    }

    @Test func aLinkThatLeadsNowhereIsNoPlaceForAStore() {
        let stage = Stage()
        symlink(stage.directory("nowhere"), stage.store)
        #expect(stage.run("get", "k").code == 1)
        let outcome = stage.run("claim", "k")
        #expect(outcome.code == 66, "\(outcome)")
        #expect(outcome.error.contains("symbolic link"), "\(outcome)")
        #expect(names(in: stage.directory.path) == ["store"])
    }

    @Test func aLinkToAStoreIsFollowed() {
        let stage = Stage()
        mkdir(stage.directory("real"), 0o700)
        symlink(stage.directory("real"), stage.store)
        stage.publish("k", "v")
        #expect(names(in: stage.directory("real")).contains("flock-cache"))
    }

    @Test func linksThatLeadInACircleAreRefused() {
        let stage = Stage()
        symlink(stage.store, stage.store)
        for command in ["claim", "get"] { #expect(stage.run(command, "k").code == 66) }
    }

    @Test func aStoreWithoutItsLocksIsRefusedAndGetsNoNewOnes() {
        let stage = Stage()
        stage.publish("k", "v")
        removeTree(stage.store + "/locks")
        for command in [
            "claim l", "finalize l v", "abandon k", "reap", "stats", "list", "remove k",
        ] {
            let outcome = stage.line(command)
            #expect(outcome.code == 66, "\(command): \(outcome)")
            #expect(outcome.error.contains("locks is missing"), "\(command): \(outcome)")
        }
        #expect(!names(in: stage.store).contains("locks"))
        // Reading takes no lock.
        #expect(stage.run("get", "k").text == "v")
    }

    @Test func aStoreOfANewerFormatIsRefused() {
        let stage = Stage()
        stage.publish("k", "v")
        write("flock-cache 3\nmode: 0700\n".utf8, to: stage.store + "/flock-cache")
        for command in ["claim l", "get k", "list", "stats", "reap", "finalize k v", "init"] {
            let outcome = stage.line(command)
            #expect(outcome.code == 69, "\(command): \(outcome)")
            #expect(outcome.error.contains("format 3"), "\(command): \(outcome)")
        }
    }

    // One that is torn is another matter: see `TornMarkerTests`.
    @Test(arguments: [
        "flock-cache 0\n", "flock-cache -1\n", "flock-cache x\n", "flock-cache 3",
        "flock-cache 1\nmode: 0777\n", "flock-cache 1\nmode 0700\n", "\n", "\0flock-cache 1\n",
        "flock-cache 1\nmode: 07x", String(repeating: "\0", count: 5000),
    ])
    func aDamagedMarkerIsNoMarker(text: String) {
        let stage = Stage()
        stage.publish("k", "v")
        write(text.utf8, to: stage.store + "/flock-cache")
        for command in ["claim l", "get k"] {
            let outcome = stage.line(command)
            #expect(outcome.code == 66, "\(command): \(outcome)")
        }
        #expect(contents(of: stage.store + "/flock-cache") == Array(text.utf8))
    }

    @Test func aDirectoryThatEverybodyMayWriteIsNoPlaceForAStore() {
        let stage = Stage()
        chmod(stage.directory.path, 0o777)
        let outcome = stage.run("claim", "k")
        #expect(outcome.code == 77, "\(outcome)")
        #expect(outcome.error.contains("written by everybody"), "\(outcome)")
        #expect(outcome.error.contains("chmod"), "\(outcome)")
        // With the sticky bit nobody can put another directory in the store's place.
        chmod(stage.directory.path, 0o1777)
        #expect(stage.run("claim", "k").code == 0)
        chmod(stage.store, 0o707)
        #expect(stage.run("get", "k").code == 77)
    }

    @Test func theStoreIsFoundThroughItsVariablesInTheirOrder() {
        var stage = Stage()
        stage.variables["FLOCK_CACHE_DIR"] = ""
        stage.variables["HOME"] = stage.directory("home")
        mkdir(stage.directory("home"), 0o700)
        #expect(stage.run("claim", "k").code == 0)
        #expect(names(in: stage.directory("home/.cache/flock-cache")).contains("flock-cache"))
        stage.variables["XDG_CACHE_HOME"] = stage.directory("xdg")
        #expect(stage.run("claim", "k").code == 0)
        #expect(names(in: stage.directory("xdg/flock-cache")).contains("flock-cache"))
        stage.variables["XDG_CACHE_HOME"] = "relative"
        #expect(stage.run("claim", "k").code == 75)
        stage.variables["HOME"] = ""
        let outcome = stage.run("claim", "k")
        #expect(outcome.code == 78, "\(outcome)")
        #expect(outcome.error.contains("FLOCK_CACHE_DIR"), "\(outcome)")
    }
}
