#if Async

import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// Leases of tasks: kept renewed while a closure runs, lost, cancelled.
@Suite(.timed) struct LeaseTaskTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> (store: Store, waits: Counter) {
        try storeThatCountsWaits(at: path)
    }

    /// Far longer than its time to live, it is renewed; then it is released at once.
    ///
    /// The time is long enough for a busy machine to renew it in time.
    @Test func aClosureKeepsItForAsLongAsItRuns() async throws {
        let (store, other) = (try makeStore().store, try makeStore().store)
        let value = try await store.withLease("key", timeToLive: .seconds(3)) { generation in
            let start = BootTime.now
            while start.milliseconds() < 7000 {
                #expect(try other.isCurrent(generation, ofLease: "key"))
                #expect(try other.tryLease("key") == nil)
                try await Task.sleep(for: .milliseconds(5))
            }
            return 7
        }
        #expect(value == 7)
        #expect(try other.tryLease("key") != nil)
        struct Failed: Error {}
        await #expect(throws: Failed.self) {
            try await store.withLease("failed", timeToLive: .seconds(3600)) { _ in throw Failed() }
        }
        #expect(try other.tryLease("failed") != nil)
    }

    /// Somebody else has it by now, which takes a process that was stopped or a record that was removed.
    ///
    /// The time is long enough for a busy machine to begin the closure in it.
    @Test func losingItCancelsTheTask() async throws {
        let (store, other) = (try makeStore().store, try makeStore().store)
        let ended = Counter()
        do {
            try await store.withLease("key", timeToLive: .seconds(2)) { generation in
                let file = try other.session.forWriting().leasePath(try EntryName("key"))
                #expect(unlink(file) == 0)
                #expect(try #require(try other.tryLease("key")).generation > generation)
                do {
                    try await Task.sleep(for: .seconds(600))
                } catch {
                    #expect(error is CancellationError)
                }
                ended.add(1)
            }
            Issue.record("it was not lost")
        } catch {
            #expect((error as? StoreError)?.code == .leaseLost)
        }
        #expect(ended.value == 1, "thrown after the task has ended")
    }

    /// The thread that renews leases looks at them meanwhile, and must not keep a closure that does not escape.
    @Test func noClosureOutlivesItsCall() async throws {
        let store = try makeStore().store
        try await withThrowingTaskGroup { group in
            for task in 0..<4 {
                group.addTask {
                    var runs = 0
                    for _ in 0..<(wantsLongTests ? 20_000 : 1000) {
                        try await store.withLease("key-\(task)", timeToLive: .seconds(600)) { _ in
                            await Task.yield()
                            runs += 1
                        }
                    }
                    #expect(runs >= 1000)
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func tasksWaitForIt() async throws {
        let (store, waits) = try makeStore()
        let lease = KeptLease(try await store.acquireLease("key", timeToLive: .seconds(3600)))
        let inside = Counter()
        let tasks = (0..<10).map { _ in
            Task.detached {
                try await store.withLease("key", timeToLive: .seconds(3600)) { _ in
                    #expect(inside.add(1) == 1)
                    await Task.yield()
                    inside.add(-1)
                }
            }
        }
        try await reach(10, waits)
        try lease.release()
        for task in tasks { try await task.value }
        #expect(try store.tryLease("key") != nil)
    }

    /// Somebody is stopped in the middle of a change: tasks that want the lease wait, the others go on.
    ///
    /// Other tests may keep the shared threads busy for longer: `--filter LeaseTaskTests` has them for itself.
    @Test(.enabled(if: wantsLongTests))
    func behindAStuckChangeNoSharedThreadIsBlocked() async throws {
        let (store, other) = (try makeStore().store, try makeStore().store)
        try await store.acquireLease("key", timeToLive: .seconds(3600)).release()
        let (isHeld, isOver) = (Counter(), Counter())
        let holder = TestSupport.startThread {
            guard
                let opened = try? other.session.forWriting(),
                let shard = try? EntryName("key").shard,
                let mutex = try? ShardMutex(opened, shard, patience: .seconds(5))
            else { return }
            isHeld.add(1)
            while isOver.value == 0 { usleep(1000) }
            withExtendedLifetime(mutex.shard) {}
        }
        try await reach(1, isHeld)
        let tasks = (0..<8).map { _ in
            Task.detached {
                try await store.withLease("key", timeToLive: .seconds(3600)) { _ in 7 }
            }
        }
        var longest = 0.0
        for _ in 0..<100 {
            let start = BootTime.now
            await Task.detached { await Task.yield() }.value
            longest = max(longest, start.milliseconds())
            try await Task.sleep(for: .milliseconds(2))
        }
        isOver.add(1)
        pthread_join(holder, nil)
        for task in tasks { #expect(try await task.value == 7) }
        print("a task was run after \(longest) ms at most")
        #expect(longest < 1000)
    }

    @Test func aCancelledWaitHasNoLease() async throws {
        let (store, waits) = try makeStore()
        let lease = KeptLease(try await store.acquireLease("key", timeToLive: .seconds(3600)))
        let task = Task.detached {
            try await store.acquireLease("key", timeToLive: .seconds(3600)).release()
        }
        try await reach(1, waits)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try lease.release()
        #expect(try store.tryLease("key") != nil)
        // One whose closure runs: it sees the cancellation, and the lease is released.
        let begun = Counter()
        let running = Task.detached {
            try await store.withLease("key", timeToLive: .seconds(3600)) { _ in
                begun.add(1)
                try await Task.sleep(for: .seconds(600))
            }
        }
        try await reach(1, begun)
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
        #expect(try store.tryLease("key") != nil)
    }
}

#endif
