import Dispatch
import FlockCache
import Foundation
import Synchronization
import Testing
import TestSupport

@testable import TestHelpers

/// Ends of claims that come late, twice, or at once.
@Suite(.ownThreads) struct LateChangeProcessTests {
    /// A claim that was taken over, and the two generations.
    private func takenOver(_ stage: Stage) throws -> (late: UInt64, current: UInt64) {
        let late = try #require(stage.run("claim", "--stale-after", "50ms", "k").generation)
        let next = stage.run("claim", "-w", "20s", "k")
        #expect(next.code == 0, "\(next)")
        return (late, try #require(next.generation))
    }

    // Large values are written before the claim is looked at for the last time.
    @Test func aLateFinalizeOfALargeValueLeavesNothingBehind() throws {
        let stage = Stage()
        let (late, _) = try takenOver(stage)
        let files = stage.entryFiles
        let outcome = stage.script(
            "head -c 1000000 /dev/zero | flock-cache finalize --generation \(late) k --file -")
        #expect(outcome.code == 76, "\(outcome)")
        #expect(stage.entryFiles == files)
    }

    // The claim is taken over between the two looks of a large finalize.
    @Test func aLargeFinalizeThatIsOvertakenWhileItReadsLeavesNothingBehind() throws {
        let stage = Stage()
        let late = try #require(stage.run("claim", "--stale-after", "1ms", "k").generation)
        let finalize = stage.start(
            """
            { head -c 1000000 /dev/zero; echo half >&2; read go <&9; head -c 1000000 /dev/zero; } 9<&0 |
                flock-cache finalize --generation \(late) k --file - 2>&1
            exit ${PIPESTATUS[1]}
            """)
        // Its temporary file is there before it reads on: only then has it passed its first look.
        while !stage.entryFiles.contains(where: { $0.contains("/.tmp-") }) { sched_yield() }
        #expect(stage.run("claim", "-w", "20s", "k").code == 0)
        finalize.tell("go")
        #expect(finalize.wait() == .exit(76))
        #expect(stage.entryFiles.map { $0.hasSuffix("/k.pending") } == [true])
    }

    /// What is left when a finalize and an abandon of one claim have both ended is one of two.
    private func check(_ finalize: Int32, _ abandon: Int32, _ get: Outcome, _ round: Int) {
        #expect(abandon == 0, "round \(round)")
        switch finalize {
        case 0: #expect(get.code == 0 && get.text == "value", "round \(round): \(get)")
        case 76: #expect(get.code == 1, "round \(round): \(get)")
        default: Issue.record("round \(round): finalize ended with \(finalize)")
        }
    }

    @Test func finalizeAndAbandonAtOnceComeToOneWholeOutcome() throws {
        let stage = Stage()
        var published = 0
        let rounds = wantsLongTests ? 1000 : 60
        for round in 0..<rounds {
            let key = "k\(round)"
            let generation = try #require(stage.run("claim", key).generation)
            let finalize = stage.start(
                "read go; exec flock-cache finalize --generation \(generation) \(key) value")
            let abandon = stage.start(
                "read go; exec flock-cache abandon --generation \(generation) \(key)")
            for child in [abandon, finalize] { child.closeInput() }
            let codes = [finalize, abandon].map { child -> Int32 in
                if case .exit(let code) = child.wait() { code } else { -1 }
            }
            if codes[0] == 0 { published += 1 }
            check(codes[0], codes[1], stage.run("get", key), round)
        }
        print("finalize and abandon at once: \(published) of \(rounds) published")
        let stats = stage.run("stats").text
        #expect(stats.hasPrefix("pending 0\nready \(published)\n"), "\(stats)")
    }

    // The same with two sessions of one process, which meet closer and far more often.
    @Test func finalizeAndAbandonOfTwoSessionsComeToOneWholeOutcome() throws {
        let stage = Stage()
        let (one, other) = (try Store(at: stage.store), try Store(at: stage.store))
        let rounds = wantsLongTests ? 20000 : 1000
        // A thread of its own, not a task: tasks of tests that run beside this one would hold it up.
        let rival = Rival(other)
        Thread.detachNewThread { rival.run(rounds) }
        var published = 0
        for round in 0..<rounds {
            let key = Store.Key("k\(round)")
            let outcome = try one.session.claim(
                key, for: .nobody, maxAge: nil, staleAfter: .seconds(3600))
            guard case .won(let generation, _) = outcome else {
                Issue.record("a fresh key is won")
                break
            }
            rival.start(round, generation)
            var isPublished = true
            do {
                try Array("value".utf8).span.withUnsafeBytes { (bytes) throws(StoreError) in
                    _ = try one.session.finalize(key, by: .generation(generation), .bytes(bytes))
                }
            } catch {
                #expect(error.code == .claimLost)
                isPublished = false
            }
            #expect(rival.waitForResult() != isPublished, "round \(round)")
            #expect((try one.entry(for: key) != nil) == isPublished, "round \(round)")
            if isPublished { published += 1 }
        }
        print("finalize and abandon of two sessions: \(published) of \(rounds) published")
        let counts = try one.counts()
        #expect(counts.pending == 0 && counts.ready == published)
    }
}

/// Abandons the claims it is given, each at the moment it is given it.
private final class Rival: Sendable {
    private let store: Store
    private let generation = Atomic<UInt64>(0)
    private let entered = Atomic<Int>(0)
    private let hasAbandoned = Atomic<Bool>(false)
    private let begin = DispatchSemaphore(value: 0)
    private let end = DispatchSemaphore(value: 0)

    init(_ store: Store) { self.store = store }

    func run(_ rounds: Int) {
        for round in 0..<rounds {
            begin.wait()
            entered.store(round + 1, ordering: .releasing)
            let right = ClaimRight.generation(generation.load(ordering: .acquiring))
            let result = try? store.session.abandon(Store.Key("k\(round)"), by: right)
            hasAbandoned.store(result == true, ordering: .releasing)
            end.signal()
        }
    }

    /// Returns when it is at it, or in every second round at once: then it comes a little later.
    func start(_ round: Int, _ generation: UInt64) {
        self.generation.store(generation, ordering: .releasing)
        begin.signal()
        guard round % 2 == 0 else { return }
        while entered.load(ordering: .acquiring) <= round { sched_yield() }
    }

    func waitForResult() -> Bool {
        end.wait()
        return hasAbandoned.load(ordering: .acquiring)
    }
}
