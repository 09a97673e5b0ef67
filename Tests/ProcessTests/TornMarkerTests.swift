import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// A marker that a power cut has left empty or torn.
@Suite(.ownThreads) struct TornMarkerTests {
    /// What may be left of one: a part, and NULs for what has a size and was not written.
    static let torn = [
        "", "flock", "flock-cache 1", "flock-cache 1\nmode: 07",
        "flock-cache 1\nmode: 0770\ndurable: ye",
        "\0\0\0\0", "flock-cache 1\nmode\0\0\0\0\0\0",
    ]
    static let whole = "flock-cache 1\nmode: 0700\ndurable: no\n"

    private func marker(_ stage: Stage) -> String {
        String(decoding: contents(of: stage.store + "/flock-cache") ?? [], as: UTF8.self)
    }

    private func tear(_ stage: Stage, _ text: String = "") {
        write(text.utf8, to: stage.store + "/flock-cache")
    }

    @Test(arguments: torn)
    func everyCommandWritesItAnew(text: String) {
        let stage = Stage()
        stage.publish("k", "v")
        let lease = stage.run("lease", "acquire", "lease", "--ttl", "1h")
        for (command, code): (String, Int32) in [
            ("get k", 0), ("claim k", 1), ("claim l", 0), ("abandon l", 0), ("list", 0),
            ("stats", 0), ("reap", 0), ("who", 0), ("run k -- false", 0), ("init", 0),
            ("lock -n k -- true", 0), ("lease acquire other --ttl 1m", 0),
            ("lease check lease --generation \(lease.generation ?? 0)", 0), ("wait k -w 1s", 0),
            ("finalize absent v", 76), ("remove absent", 0),
        ] {
            tear(stage, text)
            let outcome = stage.script("flock-cache \(command)")
            #expect(outcome.code == code, "\(command): \(outcome)")
            #expect(marker(stage) == Self.whole, "\(command)")
        }
        #expect(stage.run("get", "k").text == "v")
        #expect(leftovers(in: stage.store).isEmpty)
    }

    @Test func itsSettingsAreThoseOfWhatIsLeft() {
        for mode in ["0770", "0750"] {
            let stage = Stage()
            #expect(stage.run("init", "--mode", mode).code == 0)
            let before = marker(stage)
            tear(stage)
            #expect(stage.run("claim", "k").code == 0)
            #expect(marker(stage) == before)
            let modes = stage.script("cd $WORK && stat -c %a store store/flock-cache").text
            #expect(modes == (mode == "0770" ? "2770\n660\n" : "2750\n640\n"))
        }
        // A directory inherits the bit that shared stores have, and gives nobody anything by it.
        let stage = Stage()
        mkdir(stage.store, 0o700)
        chmod(stage.store, 0o2755)
        #expect(stage.run("claim", "k").code == 0)
        tear(stage)
        #expect(stage.run("get", "k").code == 75)
        #expect(marker(stage) == Self.whole)
    }

    @Test func whereNothingElseIsLeftTheStoreIsMadeAsAskedFor() {
        let stage = Stage()
        mkdir(stage.store, 0o700)
        tear(stage)
        write([], to: stage.store + "/.flock-cache-0123456789abcdef")
        #expect(stage.run("get", "k").code == 1 && marker(stage).isEmpty)
        #expect(stage.run("init", "--mode", "0770", "--durable").code == 0)
        #expect(marker(stage) == "flock-cache 1\nmode: 0770\ndurable: yes\n")
        // With directories the settings are theirs.
        tear(stage)
        #expect(stage.run("init", "--mode", "0700").code == 73)
        #expect(marker(stage) == "flock-cache 1\nmode: 0770\ndurable: no\n")
    }

    /// A directory with anything else is not a store's, whatever its file `flock-cache` holds.
    @Test func aForeignDirectoryIsRefusedAndNotTouched() {
        let plants = [
            "touch file", "touch .hidden", "mkdir journals", "ln -s /tmp entries", "touch locks",
            "mkdir board", "mkdir .flock-cache-d", "mkfifo leases", "ln -s flock-cache damaged",
        ]
        for text in ["", "\0\0", "flock-c"] {
            for plant in plants {
                let stage = Stage()
                mkdir(stage.store, 0o700)
                tear(stage, text)
                #expect(stage.script("cd $WORK/store && \(plant)").code == 0)
                let before = stage.script("cd $WORK && ls -lAR --time-style=full-iso store").text
                for command in ["claim k", "get k", "stats", "init", "lock -n k -- true"] {
                    let outcome = stage.script("flock-cache \(command)")
                    let code: Int32 = command.hasPrefix("lock") ? 125 : 66
                    #expect(outcome.code == code, "\(plant), \(command): \(outcome)")
                    #expect(outcome.error.contains("nothing was touched"), "\(plant): \(outcome)")
                }
                let after = stage.script("cd $WORK && ls -lAR --time-style=full-iso store").text
                #expect(after == before, "\(plant)")
                #expect(marker(stage) == text, "\(plant)")
            }
        }
    }

    /// Killed at any call, or refused by the system there: the marker is torn or whole, and nothing is lost.
    @Test(arguments: ["KILL", "5", "28", "13"])
    func aCallThatFailsLeavesATornOneOrAWholeOne(fault: String) {
        var stage = Stage()
        stage.publish("k", "v")
        for number in 1... {
            tear(stage)
            stage.variables["FLOCK_CACHE_FAULT"] = "\(number):\(fault)"
            let outcome = stage.run("claim", "absent", "--owner", "\(getpid())")
            stage.variables["FLOCK_CACHE_FAULT"] = nil
            #expect(["", Self.whole].contains(marker(stage)), "call \(number)")
            #expect(stage.run("get", "k").text == "v", "call \(number)")
            #expect(stage.run("remove", "--pending", "absent").code == 0, "call \(number)")
            #expect(marker(stage) == Self.whole, "call \(number)")
            if outcome.code == 0 && outcome.error.isEmpty { break }
            // What the killed leave is looked through by the next, which then makes more calls.
            for name in names(in: stage.store) where name.hasPrefix(".flock-cache-") {
                unlink(stage.store + "/" + name)
            }
            guard number < 500 else { Issue.record("no end: \(outcome)"); break }
        }
        #expect(names(in: stage.store) == ["entries", "flock-cache", "locks"])
    }

    /// Behind one that is stopped a reader does not wait; when it goes on, both have the same settings.
    @Test func aStoppedMenderStopsNoReader() {
        var stage = Stage()
        stage.publish("k", "v")
        var stops = 0
        for number in 1... {
            tear(stage)
            stage.variables["FLOCK_CACHE_FAULT"] = "\(number):STOP"
            let mender = stage.start("exec flock-cache get k")
            guard mender.waitForStop() else { break }
            stage.variables["FLOCK_CACHE_FAULT"] = nil
            #expect(stage.run("get", "k").text == "v", "call \(number)")
            mender.kill(SIGCONT)
            let outcome = mender.outcome()
            #expect(outcome.text == "v", "call \(number): \(outcome)")
            #expect(marker(stage) == Self.whole, "call \(number)")
            stops += 1
        }
        #expect(stops > 10)
    }
}

/// The same where file systems can be mounted.
@Suite(.ownThreads, .enabled(if: canMount, "needs root, unshare and mount"))
struct TornMarkerMountTests {
    /// Where it cannot be written, what needs no writing works, with the settings that can be told.
    @Test func readingWorksWhereItCannotBeWritten() {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                """
                mkdir $WORK/m
                mount -t tmpfs -o size=256k none $WORK/m
                export FLOCK_CACHE_DIR=$WORK/m/store
                say() { flock-cache "$@" 2>>$WORK/errors; echo " $?"; }
                g=$(flock-cache claim k); flock-cache finalize --generation $g k v
                g=$(flock-cache claim mine)
                : >$WORK/m/store/flock-cache
                mount -o remount,ro $WORK/m
                say get k; say claim k; flock-cache list | cut -f2 | sort; say claim absent
                mount -o remount,rw $WORK/m
                cat /dev/zero >$WORK/m/fill 2>/dev/null
                say get k; test ! -s $WORK/m/store/flock-cache && echo torn
                say abandon mine --generation $g; say remove k; say reap
                rm $WORK/m/fill
                say claim k --owner $$ >/dev/null; cat $WORK/m/store/flock-cache
                """,
            ], environment: stage.variables)
        let errors = String(decoding: contents(of: stage.directory("errors")) ?? [], as: UTF8.self)
        #expect(
            outcome.text
                == "v 0\nv 1\nk\nmine\n 73\nv 0\ntorn\n 0\n 0\n 0\n\(TornMarkerTests.whole)",
            "\(errors)")
    }

    /// The journal was written and the files were not, as seconds after the first use of a store.
    @Test(.enabled(if: canMountImages, "needs mkfs.ext4 and loop devices"))
    func aPowerCutAfterTheFirstUseLeavesAStore() {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-ec",
                """
                cd $WORK; mkdir m n; truncate -s 64M a; mkfs.ext4 -q a; mount -o loop a m
                flock-cache --store m/s run report -- echo "42 pages"
                dd if=/dev/zero of=m/other bs=1 count=1 conv=fsync status=none
                cp a b
                umount m; mount -o loop b n
                cat n/s/flock-cache
                flock-cache --store n/s run report -- echo again
                flock-cache --store n/s get report
                umount n
                """,
            ], environment: stage.variables)
        #expect(outcome.code == 0, "\(outcome)")
        let value = outcome.text.hasSuffix("again\nagain\n") ? "again\n" : "42 pages\n"
        #expect(outcome.text == "42 pages\n\(TornMarkerTests.whole)\(value)\(value)", "\(outcome)")
    }
}

/// Whether images of ext4 can be made and mounted.
private let canMountImages =
    canMount && isInstalled("mkfs.ext4")
    && run(
        "unshare",
        [
            "-m", "sh", "-c",
            "f=$(mktemp) && truncate -s 8M $f && mkfs.ext4 -q $f && mount -o loop $f /mnt; c=$?; rm $f; exit $c",
        ], environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
    ).code == 0
