import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `lock` where the store, or the system, refuses something: COMMAND runs under the lock or not at all.
@Suite(.ownThreads(minutes: 5)) struct CommandLockTroubleTests {
    private let stage = Stage()

    @Test func aDirectoryThatIsNoStoreIsNotTouched() {
        write("foreign".utf8, to: stage.directory("file"))
        let outcome = stage.lock("--store", stage.directory.path, "k", "--", "echo", "ran")
        #expect(outcome.code == 125 && outcome.output.isEmpty, "\(outcome)")
        #expect(outcome.error.contains("nothing was touched"), "\(outcome)")
        #expect(names(in: stage.directory.path) == ["file"])
        for place in ["/proc/self", "/dev/null", "/proc/none/store"] {
            let outcome = stage.lock("--store", place, "k", "--", "echo", "ran")
            #expect(outcome.code == 125 && outcome.output.isEmpty, "\(outcome)")
            #expect(outcome.error.split(separator: "\n").count == 1, "\(outcome)")
        }
    }

    @Test(.enabled(if: canBeNobody, "needs root, setpriv and a build that others can read"))
    func aStoreThatCannotBeWrittenSaysSo() {
        #expect(stage.run("init", "--mode", "0770").code == 0)
        for mode: mode_t in [0o700, 0o755, 0o500] {
            chmod(stage.directory.path, 0o755)
            chmod(stage.store, mode)
            let outcome = TestSupport.run(
                "setpriv",
                nobody + [builtProducts + "/flock-cache", "lock", "k", "--", "echo", "ran"],
                environment: stage.variables)
            #expect(outcome.code == 125 && outcome.output.isEmpty, "\(outcome)")
            #expect(outcome.error.contains(stage.store), "\(outcome)")
        }
    }

    @Test(.enabled(if: canMount, "needs root and mounts"))
    func aReadOnlyStoreSaysSo() {
        #expect(stage.lock("k", "--", "true").code == 0)
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "sh", "-c",
                """
                mount --bind "$FLOCK_CACHE_DIR" "$FLOCK_CACHE_DIR" &&
                    mount -o remount,ro,bind "$FLOCK_CACHE_DIR" || exit 9
                flock-cache lock k -- echo ran; echo $?; flock-cache who k; echo $?
                """,
            ], environment: stage.variables)
        #expect(outcome.text == "125\n1\n", "\(outcome)")
        #expect(outcome.error.lowercased().contains("read-only"), "\(outcome)")
    }

    @Test(.enabled(if: canMount, "needs root and mounts"))
    func aFullDiskKeepsNobodyFromLocking() {
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "sh", "-c",
                """
                mount -t tmpfs -o size=256k none /mnt || exit 9
                export FLOCK_CACHE_DIR=/mnt/store
                flock-cache lock k -- true || exit 8
                cat /dev/zero >/mnt/fill 2>/dev/null
                flock-cache lock k -- sh -c '
                    echo first; flock-cache lock -n k -- echo no; echo $?
                    flock-cache lock -w 30ms -- k2 -- flock-cache lock -w 30ms -- k3 -- echo inner'
                flock-cache lock k -- echo second
                """,
            ], environment: stage.variables)
        #expect(outcome.text == "first\n75\ninner\nsecond\n", "\(outcome)")
    }

    // One of its calls fails, whichever: that is a failure of its own, and COMMAND runs under the lock or not
    // at all, or not to its end.
    @Test(arguments: ["24", "12"]) func whereACallFailsThatIsAnOwnFailure(errno: String) {
        #expect(stage.lock("k", "--", "true").code == 0)
        let done = stage.directory("done")
        var codes: [Int32] = []
        for number in 1...100 {
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(number):\(errno)"
            unlink(done)
            let outcome = TestSupport.run(
                builtProducts + "/flock-cache",
                [
                    "lock", "-w", "5", "k", "--", "sh", "-c",
                    // Its own calls are not to fail.
                    """
                    unset FLOCK_CACHE_FAULT; flock-cache lock -qn k -- true; code=$?
                    echo >$WORK/done; [ $code = 75 ]
                    """,
                ], environment: variables)
            codes.append(outcome.code)
            #expect(outcome.code == 0 || outcome.code == 125, "\(number): \(outcome)")
            #expect(outcome.code != 0 || contents(of: done) != nil, "\(number)")
            #expect(outcome.code == 0 || !outcome.error.isEmpty, "\(number)")
            #expect(waitUntil { stage.isFree("k") }, "\(number)")
            if codes.suffix(10).allSatisfy({ $0 == 0 }), codes.contains(where: { $0 != 0 }) {
                break
            }
        }
        #expect(codes.count { $0 != 0 } > 3)
    }

    // One that was started and is killed has done half of something.
    @Test func withoutDescriptorsTheCommandIsNotStarted() {
        #expect(stage.lock("k", "--", "true").code == 0)
        // How many are open already differs.
        for limit in 3...64 {
            for option in ["", "-F"] {
                let outcome = stage.script(
                    """
                    rm -f $WORK/ran; ulimit -n \(limit) || exit 0
                    flock-cache lock \(option) k -- /bin/sh -c 'echo >$WORK/ran; read x; exit 0' <&-
                    code=$?
                    ran=no; [ -e $WORK/ran ] && ran=yes; echo $code $ran
                    """)
                #expect(
                    ["0 yes\n", "125 no\n"].contains(outcome.text), "\(limit) \(option): \(outcome)"
                )
            }
        }
    }

    @Test func aStoreThatIsRemovedUnderAWaiterIsMadeAnew() {
        let holder = stage.hold("k")
        let waiter = stage.startLock("k", "--", "sh", "-c", "echo got; exec cat")
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        removeAtOnce(stage.store)
        #expect(holder.outcome().code == 76, "it is told that it was not alone")
        #expect(waiter.line() == "got")
        // In the store that others find.
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        #expect(waiter.outcome().code == 0)
        #expect(stage.isFree("k"))
    }

    @Test func aLockFileThatIsRemovedUnderAWaiterIsMadeAnew() {
        let holder = stage.hold("k")
        let waiter = stage.startLock("k", "--", "sh", "-c", "echo got; exec cat")
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        for name in names(in: stage.store + "/locks") where name.count == 2 {
            unlink(stage.store + "/locks/" + name)
        }
        #expect(holder.outcome().code == 76, "it is told that it was not alone")
        #expect(waiter.line() == "got")
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        #expect(waiter.outcome().code == 0)
    }

    // Each of them, and the one that is let go on last.
    @Test func aStoppedWaiterKeepsNobodyOut() {
        let holder = stage.hold("k")
        let stopped = stage.startLock("k", "--", "echo", "late")
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        stopped.kill(SIGSTOP)
        #expect(stopped.waitForStop())
        let others = (0..<5).map { _ in stage.startLock("-w", "20", "k", "--", "echo", "ran") }
        #expect(waitUntil { stage.waiters(of: "k") == 6 })
        #expect(holder.outcome().code == 0)
        for other in others {
            let outcome = other.finish()
            #expect(outcome.code == 0 && outcome.text == "ran\n", "\(outcome)")
        }
        #expect(stage.isFree("k"))
        stopped.kill(SIGCONT)
        #expect(stopped.finish().text == "late\n")
    }

    @Test func aKilledWriterInTheQueueKeepsNoReaderOut() {
        let holder = stage.hold("-s", "k")
        let writer = stage.startLock("k", "--", "true")
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        writer.kill(SIGKILL)
        _ = writer.wait()
        let outcome = stage.lock("-s", "-w", "20", "k", "--", "true")
        #expect(outcome.code == 0, "\(outcome)")
        #expect(holder.outcome().code == 0)
    }

    @Test func ofHundredWaitersEachHasItsTurn() {
        let holder = stage.hold("k")
        let waiters = (0..<100).map { _ in
            stage.startLock(
                "k", "--", "sh", "-c", "mkdir $WORK/in && rmdir $WORK/in && echo $? >>$WORK/log")
        }
        #expect(waitUntil { stage.waiters(of: "k") == 100 })
        #expect(holder.outcome().code == 0)
        for waiter in waiters { #expect(waiter.finish().code == 0) }
        #expect(contents(of: stage.directory("log"))?.count { $0 == 10 } == 100)
        #expect(stage.who().isEmpty)
    }
}
