import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `wait`, and what commands that wait say and how they end.
@Suite(.ownThreads) struct WaitProcessTests {
    /// Starts a command and returns when it sleeps: it waits then, or is about to.
    private func waiting(_ stage: Stage, _ command: String) -> Child {
        let child = stage.start("exec flock-cache " + command)
        #expect(waitUntil { sleeps(child.id) })
        return child
    }

    private func claim(_ stage: Stage, _ key: String = "k") throws -> UInt64 {
        try #require(stage.run("claim", "--", key).generation)
    }

    @Test func aPendingKeyIsPrintedWhenItIsReady() throws {
        let stage = Stage()
        let generation = try claim(stage)
        let waiters = (0..<8).map { _ in waiting(stage, "wait k") }
        #expect(stage.run("finalize", "--generation", "\(generation)", "k", "v").code == 0)
        for waiter in waiters {
            let outcome = waiter.outcome()
            #expect(outcome.code == 0, "\(outcome)")
            #expect(outcome.text == "v")
            #expect(outcome.error == "")
        }
    }

    @Test func anAbsentOrAbandonedKeyEndsTheWaitWith1() throws {
        let stage = Stage()
        #expect(stage.run("wait", "k").code == 1)
        #expect(names(in: stage.store).isEmpty, "waiting has made a store")
        let generation = try claim(stage)
        let waiter = waiting(stage, "wait k")
        #expect(stage.run("abandon", "--generation", "\(generation)", "k").code == 0)
        #expect(waiter.outcome().code == 1)
    }

    @Test func aDeadHoldersClaimThatNobodyTakesOverEndsTheWaitWith1() {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        _ = owner.line()
        let waiter = waiting(stage, "wait k")
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(waiter.outcome().code == 1)
        // It has not taken over: the next claim does.
        #expect(stage.run("claim", "k").error.contains("took over 'k'"))
    }

    @Test func whoTakesADeadHoldersClaimOverIsWaitedFor() throws {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        _ = owner.line()
        let waiter = waiting(stage, "wait k")
        let successor = waiting(stage, "claim -w 1m k")
        owner.kill(SIGKILL)
        _ = owner.wait()
        let won = successor.outcome()
        #expect(won.code == 0, "\(won)")
        let generation = try #require(won.generation)
        #expect(stage.run("finalize", "--generation", "\(generation)", "k", "v").code == 0)
        let outcome = waiter.outcome()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text == "v")
    }

    @Test func withAlsoAbsentItWaitsForSomebodyToBegin() throws {
        let stage = Stage()
        let early = waiting(stage, "wait --also-absent k")
        stage.publish("other", "the store is there now")
        let late = waiting(stage, "wait --also-absent k")
        stage.publish("k", "v")
        for waiter in [early, late] {
            let outcome = waiter.outcome()
            #expect(outcome.code == 0, "\(outcome)")
            #expect(outcome.text == "v")
        }
    }

    @Test func theEndOfTheWaitIs124AndNoWaitIs75() throws {
        let stage = Stage()
        _ = try claim(stage)
        let cases: [([String], Int32)] = [
            (["-w", "30ms"], 124), (["-w30ms"], 124), (["-n"], 75), (["-w", "0"], 75),
        ]
        for (options, code) in cases {
            let outcome = run(
                builtProducts + "/flock-cache", ["wait", "k"] + options,
                environment: stage.variables)
            #expect(outcome.code == code, "\(options) \(outcome)")
            #expect(outcome.text == "")
            #expect(outcome.error.contains(": claimed "), "\(outcome)")
        }
        let nobody = stage.run("wait", "-w", "20ms", "--also-absent", "other")
        #expect(nobody.code == 124)
        #expect(
            nobody.error.contains("waiting for 'other': no process has claimed it"), "\(nobody)")
    }

    @Test(.enabled(if: isInstalled("python3")))
    func onATerminalItSaysAfterASecondWhoIsWaitedFor() throws {
        let stage = Stage()
        let script = """
            import os, pty, sys
            pid, terminal = pty.fork()
            if pid == 0:
                os.execvp("flock-cache", ["flock-cache", "claim", "-w", "1m", "k"])
            print(os.read(terminal, 4096).decode().strip(), flush=True)
            os.kill(pid, 9)
            """
        write(script.utf8, to: stage.directory("terminal.py"))
        // The same shell claims and waits, so the notice says that as well.
        let outcome = stage.script("flock-cache claim k; python3 \(stage.directory("terminal.py"))")
        #expect(outcome.text.contains("waiting for 'k', claimed"), "\(outcome)")
        #expect(outcome.text.contains("giving up in"), "\(outcome)")
    }
}
