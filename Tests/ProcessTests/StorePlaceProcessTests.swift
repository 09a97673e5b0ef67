import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Where a store may be, and what is refused there.
@Suite(.ownThreads) struct StorePlaceProcessTests {
    @Test func directoriesOnTheWayAreMadePrivate() {
        var stage = Stage()
        stage.variables["FLOCK_CACHE_DIR"] = stage.directory("a/b/c")
        #expect(stage.script("umask 0; flock-cache claim k").code == 0)
        for path in ["a", "a/b", "a/b/c", "a/b/c/entries", "a/b/c/locks"] {
            var status = stat()
            #expect(stat(stage.directory(path), &status) == 0)
            #expect(status.st_mode & 0o077 == 0, "\(path)")
        }
    }

    @Test(.enabled(if: canBeNobody, "needs root, setpriv, and a build that others may run"))
    func aStoreOfAnotherUserIsRefused() {
        let stage = Stage()
        stage.publish("k", "v")
        chmod(stage.directory.path, 0o755)
        for command in ["claim l", "get k", "list", "stats", "reap", "finalize k v"] {
            let outcome = stage.script(
                "setpriv \(nobody.joined(separator: " ")) flock-cache \(command)")
            #expect(outcome.code == 77, "\(command): \(outcome)")
            #expect(outcome.error.contains("Permission denied"), "\(outcome)")
            #expect(outcome.error.contains("a store of your own"), "\(outcome)")
        }
        // Readable is not enough: its owner could replace what one writes through.
        chmod(stage.store, 0o755)
        chmod(stage.store + "/flock-cache", 0o644)
        let reader = stage.script("setpriv \(nobody.joined(separator: " ")) flock-cache get k")
        #expect(reader.code == 77, "\(reader)")
        #expect(reader.error.contains("belongs to user"), "\(reader)")
        let maker = stage.script(
            "setpriv \(nobody.joined(separator: " ")) flock-cache --store $WORK/new claim k")
        #expect(maker.code == 77, "\(maker)")
        #expect(names(in: stage.directory.path) == ["store"])
    }
}
