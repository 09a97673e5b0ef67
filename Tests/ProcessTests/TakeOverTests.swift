import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// A dead owner's claim goes to the next who asks; a live owner's never does.
@Suite(.ownThreads) struct TakeOverTests {
    @Test func theClaimOfAKilledOwnerIsWonAtOnceAndTheWinnerLearnsFromWhom() throws {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        let first = try #require(owner.line().flatMap { UInt64($0) })
        let loser = stage.run("claim", "k")
        #expect(loser.code == 75, "\(loser)")
        #expect(loser.output.isEmpty)
        #expect(loser.error.contains("by pid \(owner.id) (bash)"), "\(loser)")

        owner.kill(SIGKILL)
        #expect(owner.wait() == .signal(SIGKILL))
        let next = stage.run("claim", "k")
        #expect(next.code == 0, "\(next)")
        #expect(next.error.contains("took over 'k': its owner, pid \(owner.id) (bash)"), "\(next)")
        #expect(next.error.contains("has exited"), "\(next)")
        #expect(try #require(next.generation) > first)

        // The new claim lives as any other.
        #expect(stage.run("claim", "k").code == 75)
    }

    @Test func aTakeOverInJSONNamesTheFormerHolder() throws {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        _ = owner.line()
        owner.kill(SIGKILL)
        _ = owner.wait()
        let next = stage.run("--json", "claim", "k")
        #expect(next.code == 0, "\(next)")
        #expect(next.text.contains("\"taken-over-from\":{\"pid\":\(owner.id),"), "\(next)")
    }

    @Test func ofManyThatMeetADeadOwnerOneTakesOver() throws {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        _ = owner.line()
        owner.kill(SIGKILL)
        _ = owner.wait()
        let rivals = (0..<12).map { _ in stage.start("read go; exec flock-cache claim k") }
        for rival in rivals { rival.closeInput() }
        let codes = rivals.map { rival in
            _ = rival.rest()
            return rival.wait()
        }
        // Each rival's claim is for the test, which called them all: a winner is not dead for others.
        #expect(codes.count { $0 == .exit(0) } == 1, "\(codes)")
        #expect(codes.count { $0 == .exit(75) } == 11, "\(codes)")
    }

    @Test func anOwnerThatHasEndedButWasNotReapedIsDead() {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        _ = owner.line()
        owner.kill(SIGKILL)
        waitForZombie(owner.id)
        let next = stage.run("claim", "k")
        #expect(next.code == 0, "\(next)")
        #expect(next.error.contains("took over 'k': its owner, pid \(owner.id)"), "\(next)")
    }

    @Test func aStoppedOwnerIsAlive() {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; read never")
        _ = owner.line()
        owner.kill(SIGSTOP)
        #expect(owner.waitForStop())
        #expect(stage.run("claim", "k").code == 75)
        #expect(stage.run("reap").output.isEmpty)
        // A wait for it ends; it is not taken for dead in the meantime.
        #expect(stage.run("claim", "-w", "100ms", "k").code == 124)
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(stage.run("claim", "k").code == 0)
    }

    @Test(.enabled(if: ownerProgram != nil, "needs a C compiler"))
    func anOwnerWhoseMainThreadHasEndedWhileOthersRunIsAlive() throws {
        let stage = Stage()
        let owner = Child(
            try #require(ownerProgram), ["threads", "k"], environment: stage.variables)
        #expect(owner.line() == "the main thread has ended")
        // The state that deceives: a zombie by its first thread, and at work by another.
        let status = contents(of: "/proc/\(owner.id)/stat").map {
            String(decoding: $0, as: UTF8.self)
        }
        #expect(try #require(status).contains(") Z "))
        let loser = stage.run("claim", "k")
        #expect(loser.code == 75, "\(loser)")
        #expect(stage.run("reap").output.isEmpty)

        owner.closeInput()
        #expect(owner.wait() == .exit(0))
        let next = stage.run("claim", "k")
        #expect(next.code == 0, "\(next)")
        #expect(next.error.contains("took over 'k'"), "\(next)")
    }

    // In a PID namespace of its own nobody else takes numbers, and the next one can be chosen.
    @Test(.enabled(if: canChooseProcessNumber, "needs root, unshare and ns_last_pid"))
    func aProcessThatGotTheNumberOfADeadOwnerIsNotTakenForIt() throws {
        let stage = Stage()
        let session = stage.startElsewhere(
            """
            bash -c 'flock-cache claim k; kill -9 $$' &
            owner=$!
            wait $owner
            echo $((owner - 1)) >/proc/sys/kernel/ns_last_pid
            sleep 1000 &
            [ $! = $owner ] || { echo "pid $! is not $owner"; exit 1; }
            echo $owner
            flock-cache claim k
            echo $?
            """)
        let lines = (0..<4).map { _ in session.line() }
        let first = try #require(lines[0].flatMap { UInt64($0) })
        let owner = try #require(lines[1].flatMap { Int32($0) }, "\(lines)")
        #expect(try #require(lines[2].flatMap { UInt64($0) }, "\(lines)") > first)
        #expect(lines[3] == "0")
        session.kill(SIGKILL)
        #expect(session.restOfError().contains("took over 'k': its owner, pid \(owner) "))
    }
}
