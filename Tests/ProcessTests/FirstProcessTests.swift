import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// The command as a container's process 1, to which the kernel gives every process whose parent has ended.
@Suite(.ownThreads, .enabled(if: canUnshare, "needs root and unshare"))
struct FirstProcessTests {
    @Test(arguments: ["run k --", "lock k --", "lease run k --ttl 1h --"])
    func orphansAreReapedAndTheCodeComesThrough(line: String) {
        let stage = Stage()
        // Each orphan is seen to be gone, not only to have ended, before the next begins.
        let command = """
            for i in 1 2 3 4 5; do
                (sleep 0.01 & echo $! >$WORK/orphan)
                read pid <$WORK/orphan
                timeout 20 sh -c "while [ -e /proc/$pid ]; do sleep 0.01; done" || exit 1
            done
            exit 7
            """
        let container = TestSupport.run(
            "unshare",
            [
                "-p", "-f", "--kill-child", "--mount-proc", "bash", "-c",
                "exec flock-cache \(line) bash -c '\(command)'",
            ], environment: stage.variables)
        #expect(container.code == 7, "\(line): \(container)")
    }

    // What ends before COMMAND does, and at the same time, takes nothing away from its end.
    @Test func theEndOfTheCommandIsSeenAmongThoseOfOrphans() {
        let stage = Stage()
        let container = TestSupport.run(
            "unshare",
            [
                "-p", "-f", "--kill-child", "--mount-proc", "bash", "-c",
                """
                for i in 1 2 3; do true & done
                exec flock-cache run k -- bash -c 'for i in 1 2 3 4 5 6; do (true &) ; done; echo v'
                """,
            ], environment: stage.variables)
        #expect(container.code == 0 && container.text == "v\n", "\(container)")
        #expect(stage.run("get", "k").text == "v\n")
    }

    // The kernel ends process 1 by no signal that it does not handle.
    @Test(
        arguments: [
            "lock k -- true", "run r -- true", "lease run l --ttl 1h -- true", "wait -w 60 r",
            "claim -w 60 --owner none --stale-after 1h r", "lease acquire -w 60 l --ttl 1h",
        ], [SIGTERM, SIGINT])
    func aWaitEndsByASignal(line: String, signal: Int32) throws {
        var stage = Stage.forSignals
        stage.variables["FLOCK_CACHE_WAIT"] = "60"
        let holder = stage.start(
            """
            flock-cache lock k -- flock-cache lease run l --ttl 1h -- flock-cache run r -- \
                sh -c 'echo held >&2; exec cat' 2>&1
            """)
        #expect(holder.line() == "held")
        let container = stage.startElsewhere("echo $$; exec flock-cache \(line)")
        #expect(container.line() == "1")
        let first = try #require(firstProcess(of: container.id))
        // It has come to its wait when it sleeps in it, having read the store.
        #expect(waitUntil { isAsleep(first, under: "flock-cache") })
        kill(first, signal)
        #expect(container.finish().ending == .exit(128 + signal))
        holder.closeInput()
        #expect(holder.finish().code == 0)
    }

    // Also while there is no COMMAND to wait for.
    @Test func orphansAreReapedWhileItWaits() throws {
        let stage = Stage()
        let holder = stage.hold("k")
        let container = stage.startElsewhere("echo $$; exec flock-cache lock -w 60 k -- echo got")
        #expect(container.line() == "1")
        let first = try #require(firstProcess(of: container.id))
        #expect(waitUntil { isAsleep(first, under: "flock-cache") })
        for _ in 0..<3 {
            let outcome = run(
                "nsenter",
                ["-t", "\(first)", "-p", "-m", "sh", "-c", "(sleep 0.01 & echo $!)"],
                environment: stage.variables)
            let orphan = outcome.text.dropLast()
            let isGone = {
                run(
                    "nsenter", ["-t", "\(first)", "-p", "-m", "test", "!", "-e", "/proc/\(orphan)"]
                ).code == 0
            }
            #expect(!orphan.isEmpty && waitUntil(isGone), "\(outcome)")
        }
        holder.closeInput()
        #expect(container.line() == "got")
        #expect(container.finish().code == 0)
    }

    @Test(arguments: ["run k --", "lock k --", "lease run k --ttl 1h --"])
    func aSignalThatEndsCommandIsTheExitCode(line: String) throws {
        let stage = Stage()
        let container = stage.startElsewhere(
            "exec flock-cache \(line) sh -c 'echo begun >&2; exec sleep 600' 2>&1")
        #expect(container.line() == "begun")
        kill(try #require(firstProcess(of: container.id)), SIGTERM)
        #expect(container.finish().ending == .exit(128 + SIGTERM))
    }

    // What COMMAND is given must not be what process 1 needs for itself.
    @Test func commandFindsTheSignalsAsTheyWere() {
        let stage = Stage()
        let mask = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"
        let container = { (line: String) in
            TestSupport.run(
                "unshare",
                ["-p", "-f", "--kill-child", "--mount-proc", "sh", "-c", "exec \(line)"],
                environment: stage.variables)
        }
        let direct = container(mask)
        for line in ["lock k --", "lock -F k --", "run k --", "lease run k --ttl 1h --"] {
            let under = container("flock-cache \(line) \(mask)")
            #expect(under.text == direct.text && under.code == 0, "\(line): \(under) \(direct)")
        }
    }
}

/// The process that is process 1 for the children of `unshare -f`.
private func firstProcess(of unshare: pid_t) -> pid_t? {
    let children = contents(of: "/proc/\(unshare)/task/\(unshare)/children") ?? []
    return String(decoding: children, as: UTF8.self).split(separator: " ").first.flatMap {
        pid_t($0)
    }
}

private func isAsleep(_ process: pid_t, under name: String) -> Bool {
    let stat = String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self)
    // In a futex or a nap, and not in one of the short sleeps of its start: its children are none.
    let call = contents(of: "/proc/\(process)/wchan") ?? []
    let text = String(decoding: call, as: UTF8.self)
    return stat.contains("(\(name)) S") && (text.contains("futex") || text.contains("nanosleep"))
}
