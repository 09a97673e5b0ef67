import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// How a shard's mutex is waited for.
@Suite(.ownThreads) struct MutexWaitTests {
    private let directory = TemporaryDirectory()

    /// Trying is for the first microseconds: whoever waits for longer sleeps, and gives up when his time is over.
    ///
    /// Counted is the thread's own time on a processor, whatever else the machine does.
    @Test func whoWaitsForLongSleeps() throws {
        let path = directory("store")
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", []).isWon)
        let other = try Store(at: path)
        let shard = try EntryName("key").shard
        let held = try HeldShard(try other.session.forWriting(), shard)
        let before = processorTime()
        #expect {
            try store.session.claim(
                "key", for: .session, maxAge: .zero, staleAfter: nil, patience: .milliseconds(500))
        } throws: {
            ($0 as? StoreError)?.code == .timedOut
        }
        let used = processorTime() - before
        #expect(used < 100_000_000, "\(used) ns of 500 ms on a processor")
        _ = consume held
    }

    /// A change is stuck where the same process is in the way at two looks, and not where others pass by.
    @Test func onlyWhoStaysIsStuck() {
        func looks(_ holders: [Int32?], patience: Duration = .seconds(10)) -> [Bool] {
            var patience = Patience(patience, until: TimeLimit(.zero))
            return holders.map { patience.goesOn(behind: $0) }
        }
        #expect(looks([7, 7]) == [true, false])
        #expect(looks([7, 8, 9, 9]) == [true, true, true, false])
        // Who cannot be seen may be a stopped process of another user.
        #expect(looks([nil, nil]) == [true, false])
        #expect(looks([7, nil, 8]) == [true, true, true])
        // A try is over when its time is.
        #expect(looks([7], patience: .milliseconds(999)) == [false])
        // Not for ever, whoever passes by.
        let passing = looks((0..<200).map { Int32($0) })
        #expect(passing.count { $0 } == 120 && !passing[120], "\(passing.count { $0 })")
    }

    /// Nanoseconds that this thread has run.
    private func processorTime() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
