import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Process numbers of another PID namespace mean nothing here: such a holder is unknown, never dead.
@Suite(.ownThreads, .enabled(if: canUnshare, "needs root and unshare"))
struct NamespaceTests {
    @Test func aClaimFromAnotherNamespaceIsNeverTakenOverWhileItIsUnknown() {
        let stage = Stage()
        let container = stage.startElsewhere("flock-cache claim k; read never")
        #expect(container.line() != nil)
        let loser = stage.run("claim", "k")
        #expect(loser.code == 75, "\(loser)")
        #expect(loser.error.contains("pid 1 (bash)"), "\(loser)")
        #expect(loser.error.contains("liveness unknown"), "\(loser)")
        #expect(stage.run("claim", "-w", "200ms", "k").code == 124)
        #expect(stage.run("reap").output.isEmpty)

        // Its end cannot be seen from here either: waiting is the price of never being wrong.
        container.kill(SIGKILL)
        _ = container.wait()
        #expect(stage.run("claim", "k").code == 75)
        #expect(stage.run("reap").output.isEmpty)

        // Only a reaper that was told what to assume ends it.
        #expect(stage.run("reap", "--assume-dead-after", "1h").output.isEmpty)
        #expect(
            stage.run("reap", "--assume-dead-after", "0", "--dry-run").text == "k\tassumed-dead\n")
        #expect(stage.run("claim", "k").code == 75)
        #expect(stage.run("reap", "--assume-dead-after", "0").text == "k\tassumed-dead\n")
        #expect(stage.run("claim", "k").code == 0)
    }

    // There, the number of the test's own process may well belong to nobody.
    @Test func aLiveClaimFromHereIsNotTakenOverElsewhere() {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        #expect(owner.line() != nil)
        let container = stage.startElsewhere(
            """
            flock-cache claim k; echo $?
            flock-cache claim -w 200ms k; echo $?
            flock-cache reap; echo $?
            flock-cache abandon k; echo $?
            flock-cache finalize k theirs; echo $?
            """)
        #expect((0..<5).map { _ in container.line() } == ["75", "124", "0", "0", "76"])
        #expect(stage.run("claim", "k").code == 75)
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(stage.run("claim", "k").code == 0)
    }

    // The same number in two namespaces: pid 1 there is not the pid 1 that claimed.
    @Test func aProcessOfTheSameNumberInAThirdNamespaceDoesNotOwnTheClaim() {
        let stage = Stage()
        let first = stage.startElsewhere("flock-cache claim k; read never")
        #expect(first.line() != nil)
        let second = stage.startElsewhere(
            "flock-cache finalize k theirs; echo $?; flock-cache claim k; echo $?")
        #expect((0..<2).map { _ in second.line() } == ["76", "75"])
    }

    @Test func itsOwnTimeEndsAClaimFromAnotherNamespace() throws {
        let stage = Stage()
        let container = stage.startElsewhere(
            """
            out=$(flock-cache claim --stale-after 200ms k); echo $out
            read go
            flock-cache finalize --generation $out k late; echo $?
            read never
            """)
        let first = try #require(container.line().flatMap { UInt64($0) })
        let next = stage.run("claim", "-w", "20s", "k")
        #expect(next.code == 0, "\(next)")
        #expect(try #require(next.generation) > first)
        container.tell("go")
        #expect(container.line() == "76")
        #expect(stage.run("finalize", "k", "ours").code == 0)
        #expect(stage.run("get", "k").text == "ours")
    }

    // In the container itself everything is as on a machine of its own.
    @Test func withinItsNamespaceADeadOwnerIsDead() {
        let stage = Stage()
        let container = stage.startElsewhere(
            "bash -c 'flock-cache claim k; true'; flock-cache claim k; echo $?; read never")
        #expect(container.line() != nil)
        #expect(container.line() != nil)
        #expect(container.line() == "0")
    }

    // Without a /proc of the namespace nobody can say who called.
    @Test func aProcOfAnotherNamespaceIsNotBelieved() {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare", ["-p", "-f", "bash", "-c", "flock-cache claim k; exit $?"],
            environment: stage.variables)
        #expect(outcome.code == 78, "\(outcome)")
        #expect(outcome.error.contains("/proc"), "\(outcome)")
        #expect(outcome.error.contains("--owner"), "\(outcome)")
        #expect(stage.run("get", "k").code == 1)
    }
}
