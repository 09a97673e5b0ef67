import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Ends of claims that come late, twice, or at once.
@Suite(.ownThreads) struct LateChangeTests {
    /// A claim that was taken over, and the two generations.
    private func takenOver(_ stage: Stage) throws -> (late: UInt64, current: UInt64) {
        let late = try #require(stage.run("claim", "--stale-after", "50ms", "k").generation)
        let next = stage.run("claim", "-w", "20s", "k")
        #expect(next.code == 0, "\(next)")
        return (late, try #require(next.generation))
    }

    @Test func aLateFinalizeIsToldAndChangesNothing() throws {
        let stage = Stage()
        let (late, current) = try takenOver(stage)
        let path = try #require(stage.entryFile("k.pending"))
        let before = contents(of: path)
        let finalize = stage.run("finalize", "--generation", "\(late)", "k", "late")
        #expect(finalize.code == 76, "\(finalize)")
        #expect(finalize.error.contains("generation \(current), not \(late)"), "\(finalize)")
        #expect(finalize.error.contains("claimed since by pid \(getpid())"), "\(finalize)")
        #expect(stage.run("abandon", "--generation", "\(late)", "k").code == 76)
        #expect(contents(of: path) == before)
        #expect(stage.run("finalize", "--generation", "\(current)", "k", "right").code == 0)

        // Nor does it replace the value that came instead.
        let again = stage.run("finalize", "--generation", "\(late)", "k", "late")
        #expect(again.code == 76, "\(again)")
        #expect(stage.run("abandon", "--generation", "\(late)", "k").code == 0)
        #expect(stage.run("get", "k").text == "right")
    }

    @Test func finalizingAndAbandoningTwiceIsFine() throws {
        let stage = Stage()
        let first = try #require(stage.run("claim", "k").generation)
        #expect(stage.run("finalize", "--generation", "\(first)", "k", "v").code == 0)
        // The first value stays: what was published may have been read.
        #expect(stage.run("finalize", "--generation", "\(first)", "k", "other").code == 0)
        #expect(stage.run("finalize", "k", "other").code == 0)
        #expect(stage.run("abandon", "--generation", "\(first)", "k").code == 0)
        #expect(stage.run("abandon", "k").code == 0)
        #expect(stage.run("get", "k").text == "v")

        let second = try #require(stage.run("claim", "l").generation)
        #expect(stage.run("abandon", "--generation", "\(second)", "l").code == 0)
        #expect(stage.run("abandon", "--generation", "\(second)", "l").code == 0)
        #expect(stage.run("abandon", "l").code == 0)
        #expect(stage.run("finalize", "--generation", "\(second)", "l", "v").code == 76)
        #expect(stage.run("get", "l").code == 1)
    }

    @Test func aClaimWhoseTimeIsOverButThatNobodyTookCanBeFinalized() throws {
        let stage = Stage()
        let generation = try #require(stage.run("claim", "--stale-after", "1ms", "k").generation)
        // The moment has come when a waiter that is not allowed to change anything sees it.
        while stage.run("reap", "--dry-run").text != "k\texpired\n" {}
        #expect(stage.run("finalize", "--generation", "\(generation)", "k", "v").code == 0)
        #expect(stage.run("get", "k").text == "v")
    }

    @Test func aValueComputedAnewIsFencedToo() throws {
        let stage = Stage()
        stage.publish("k", "old")
        let late = try #require(
            stage.run("claim", "--max-age", "0", "--stale-after", "1ms", "k").generation)
        #expect(stage.run("get", "k").text == "old")
        let next = stage.run("claim", "--max-age", "0", "-w", "20s", "k")
        let current = try #require(next.generation, "\(next)")
        #expect(stage.run("finalize", "--generation", "\(late)", "k", "late").code == 76)
        #expect(stage.run("get", "k").text == "old")
        #expect(stage.run("finalize", "--generation", "\(current)", "k", "new").code == 0)
        #expect(stage.run("get", "k").text == "new")
    }
}
