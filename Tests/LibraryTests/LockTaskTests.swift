import Glibc
import Synchronization
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

#if Async

/// Locks taken by tasks: apart, without blocking a thread, and cancelled without a trace.
@Suite(.timed) struct LockTaskTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> (store: Store, waits: Counter) {
        try storeThatCountsWaits(at: path)
    }

    /// 1,000 tasks on ten keys, readers among them; one thread waits for all.
    @Test func manyTasksDoNotOverlap() async throws {
        let (store, _) = try makeStore()
        let inside = (0..<10).map { _ in Counter() }
        let (overlaps, done) = (Counter(), Counter())
        let before = threadCount()
        let most = Counter()
        await withTaskGroup { group in
            for index in 0..<1000 {
                group.addTask {
                    let (key, shared) = (index % 10, index % 3 > 0)
                    try? await store.withLock(
                        Store.Key("key-\(key)"), mode: shared ? .shared : .exclusive,
                        wait: .upTo(.seconds(60))
                    ) {
                        let weight = shared ? 1 : 1 << 32
                        let there = inside[key].add(weight) - weight
                        if shared ? there >= 1 << 32 : there != 0 { overlaps.add(1) }
                        await Task.yield()
                        let threads = threadCount()
                        if threads > most.value { most.add(threads - most.value) }
                        inside[key].add(-weight)
                        done.add(1)
                    }
                }
            }
        }
        #expect(done.value == 1000 && overlaps.value == 0)
        print("threads more: \(most.value - before)")
        // The pool's own are as many as processors; other tests have theirs, some a hundred.
        #expect(most.value - before < 500)
        try store.lock0(["key-0"])
    }

    @Test func aCancelledWaitEndsAtOnceAndLeavesNothing() async throws {
        let (store, waits) = try makeStore()
        let held = try await store.lock(["b"])
        let task = Task.detached { try await store.lock(["a", "b", "c"]).release() }
        try await reach(1, waits)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try store.tryLock(["a"]) != nil)
        #expect(try store.tryLock(["c"]) != nil)
        held.release()
        #expect(try store.tryLock(["a", "b", "c"]) != nil)
        let cancelled = Task.detached {
            withUnsafeCurrentTask { $0?.cancel() }
            try await store.lock(["a"]).release()
        }
        await #expect(throws: CancellationError.self) { try await cancelled.value }
    }

    /// One that is cancelled in the queue keeps nobody behind it waiting.
    @Test func theQueueGoesOnBehindACancelledOne() async throws {
        let (store, waits) = try makeStore()
        let held = try await store.lock(["key"])
        let tasks = (0..<20).map { _ in
            Task.detached { try await store.lock(["key"]).release() }
        }
        try await reach(20, waits)
        for (index, task) in tasks.enumerated() where index % 2 == 0 { task.cancel() }
        held.release()
        for (index, task) in tasks.enumerated() {
            let result = await task.result
            if index % 2 == 1 { #expect((try? result.get()) != nil) }
        }
        #expect(try store.tryLock(["key"]) != nil)
    }

    @Test func whoComesFirstIsServedFirst() async throws {
        let (store, waits) = try makeStore()
        let held = try await store.lock(["key"])
        let served = Served()
        var tasks: [Task<Void, any Error>] = []
        for number in 0..<64 {
            tasks.append(
                Task.detached {
                    let lock = try await store.lock(["key"])
                    served.numbers.withLock { $0.append(number) }
                    lock.release()
                })
            try await reach(number + 1, waits)
        }
        held.release()
        for task in tasks { try await task.value }
        // The look-out has given the lock to one before its task notes that it has it: the next one may have it, too.
        let order = served.numbers.withLock { $0 }
        #expect(order.count == 64 && swappedPairs(order, within: 1) <= 20, "\(order)")
    }

    @Test func aWaitEndsInTime() async throws {
        let (store, _) = try makeStore()
        let other = try Store(at: path)
        let held = KeptLock(try await store.lock(["key"]))
        let start = BootTime.now
        let task = Task.detached { () -> StoreError? in
            do {
                try await other.lock(["key"], wait: .upTo(.milliseconds(50))).release()
                return nil
            } catch {
                return error as? StoreError
            }
        }
        let error = await task.value
        #expect(error?.code == .timedOut && error?.holder?.processID == getpid())
        #expect(start.milliseconds() >= 50)
        held.release()
        let now = await Task.detached { () -> StoreError.Code? in
            do {
                try await other.lock(["key"], wait: .upTo(.zero)).release()
                return nil
            } catch {
                return (error as? StoreError)?.code
            }
        }.value
        #expect(now == nil)
    }

    /// The closures run where the caller does.
    @MainActor @Test func theClosureRunsOnTheCallersActor() async throws {
        let (store, _) = try makeStore()
        var count = 0
        try await store.withLock("key") {
            MainActor.assertIsolated()
            count += 1
            await Task.yield()
            MainActor.assertIsolated()
        }
        try await store.withLock("key") {
            MainActor.assertIsolated()
            count += 1
        }
        struct Failed: Error {}
        await #expect(throws: Failed.self) {
            try await store.withLock("key") { () async throws in throw Failed() }
        }
        #expect(count == 2)
        #expect(try store.tryLock(["key"]) != nil)
    }

    private final class Served: Sendable {
        let numbers = Mutex<[Int]>([])
    }

    private func threadCount() -> Int { names(in: "/proc/self/task").count }
}

extension Store {
    /// Takes and releases the locks, from asynchronous code too.
    func lock0(_ keys: [Key]) throws {
        guard try tryLock(keys) != nil else { throw Unexpected("\(keys) are locked") }
    }
}

#endif
