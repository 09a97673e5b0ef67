import Glibc
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

    /// Nanoseconds that this thread has run.
    private func processorTime() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
