import Testing
import TestSupport

@testable import TestHelpers

/// A command that is a part of a computation and waits for that would wait in vain.
@Suite(.ownThreads) struct NestedRunTests {
    @Test func waitingForOneselfIsRefusedAtAnyDepth() {
        let stage = Stage()
        let outcome = stage.run(
            "run", "outer", "--", "flock-cache", "run", "inner", "--", "flock-cache", "run",
            "outer",
            "--", "echo", "never")
        #expect(outcome.code == 125, "\(outcome)")
        #expect(outcome.text == "")
        #expect(outcome.error.contains("would wait for itself"), "\(outcome)")
        // All of it was given up.
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready 0\n"))
    }

    @Test(arguments: ["claim -w 1m outer", "wait outer"])
    func soIsWhatOnlyWaits(command: String) {
        let stage = Stage()
        let outcome = stage.run("run", "outer", "sh", "-c", "flock-cache \(command); echo $?")
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text == "78\n")
        #expect(outcome.error.contains("would wait for itself"), "\(outcome)")
    }

    @Test func notWaitingIsNeverRefusedNorIsAnotherKey() {
        let stage = Stage()
        let outcome = stage.run(
            "run", "outer", "sh", "-c",
            "flock-cache run -n outer true; echo $?; flock-cache run inner echo fine")
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text == "75\nfine\n")
    }

    @Test func whatIsLeftOfAnEarlierRunRefusesNothing() throws {
        var stage = Stage()
        let held = stage.run("run", "k", "sh", "-c", "echo $FLOCK_CACHE_HELD").text.dropLast()
        #expect(held.hasPrefix("claim/"))
        stage.variables["FLOCK_CACHE_HELD"] = "lock/of-a-later-version \(held) nonsense claim/zz"
        #expect(stage.run("claim", "other").code == 0)
        #expect(stage.run("wait", "-w", "20ms", "other").code == 124)
    }
}
