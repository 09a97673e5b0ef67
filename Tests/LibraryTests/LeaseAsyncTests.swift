#if Async

import Glibc
import Synchronization
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// Leases of tasks.
@Suite(.timed) struct LeaseAsyncTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> (store: Store, waits: Counter) {
        try storeThatCountsWaits(at: path)
    }

    private func acquire(_ store: Store, _ timeToLive: Duration) -> Task<KeptLease, any Error> {
        Task { KeptLease(try await store.acquireLease("key", timeToLive: timeToLive)) }
    }

    @Test func aTaskGetsWhatIsReleasedAndWhatIsOver() async throws {
        let (store, waits) = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let first = acquire(store, .milliseconds(100))
        try await reach(1, waits)
        try kept.release()
        let mine = try await first.value
        let second = try await acquire(store, .seconds(3600)).value
        #expect(mine.timeLeft == .zero && second.timeLeft > .zero)
        try second.release()
    }

    @Test func aWaitOfATaskEndsInTime() async throws {
        let (store, _) = try makeStore()
        let kept = try store.lease("key", .seconds(3600))
        let begin = BootTime.now
        do {
            let lease = try await store.acquireLease(
                "key", timeToLive: .seconds(1), wait: .upTo(.milliseconds(50)))
            try await lease.release()
            Issue.record("it was held")
        } catch let error as StoreError {
            #expect(error.code == .timedOut)
        }
        #expect(begin.milliseconds() >= 50)
        try kept?.release()
    }

    @Test func cancelledTasksLeaveNothingAndTheOthersWaitOn() async throws {
        let (store, waits) = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let tasks = (0..<10).map { _ in acquire(store, .milliseconds(1)) }
        try await reach(10, waits)
        for task in tasks[..<5] { task.cancel() }
        for task in tasks[..<5] {
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        let sequence = try leaseCell(of: "key", in: path).sequence
        try kept.release()
        for task in tasks[5...] { #expect(try await task.value.generation > kept.generation) }
        // Five grants, and a release for each that was given up before its time.
        #expect(try leaseCell(of: "key", in: path).sequence - sequence <= 11)
        let lease = try await acquire(store, .seconds(3600)).value
        #expect(lease.timeLeft > .zero)
    }

    @Test func aLeaseIsRenewedWhileItsTaskRunsAndReleasedAtItsEnd() async throws {
        let (store, _) = try makeStore()
        let rival = try Store(at: path)
        let generation = try await store.withLease("key", timeToLive: .milliseconds(600)) {
            generation in
            let end = BootTime.now.advanced(by: .milliseconds(2000))
            while BootTime.now < end {
                #expect(try rival.lease("key", .seconds(1)) == nil)
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(try rival.isCurrent(generation, ofLease: "key"))
            return generation
        }
        #expect(try leaseCell(of: "key", in: path).sequence > 3, "it was renewed")
        #expect(try !rival.isCurrent(generation, ofLease: "key"))
        #expect(try rival.lease("key", .seconds(1)) != nil)
    }

    /// Also when the threads that tasks share are all busy.
    @Test func aTaskThatBlocksItsThreadKeepsItsLease() async throws {
        let (store, _) = try makeStore()
        try await store.withLease("key", timeToLive: .milliseconds(600)) {
            (generation) async throws in
            sleep(until: BootTime.now.advanced(by: .milliseconds(1500)))
            #expect(try store.isCurrent(generation, ofLease: "key"))
        }
    }

    @Test func whatTheTaskThrowsIsThrownAndTheLeaseReleased() async throws {
        let (store, _) = try makeStore()
        struct Failed: Error {}
        await #expect(throws: Failed.self) {
            try await store.withLease("key", timeToLive: .seconds(3600)) { _ in throw Failed() }
        }
        #expect(try store.lease("key", .seconds(1)) != nil)
    }

    /// Somebody takes it over, as after a stop that was too long: the task is cancelled, and the error comes
    /// after its end.
    @Test func aTaskWhoseLeaseIsLostIsCancelled() async throws {
        let (store, _) = try makeStore()
        let (path, ended) = (path, Counter())
        do {
            try await store.withLease("key", timeToLive: .milliseconds(90)) { generation in
                try replaceLease(of: "key", in: path) { cell in
                    cell.sequence += 100
                    cell.generation += 1
                }
                while !Task.isCancelled { await Task.yield() }
                ended.add(1)
            }
            Issue.record("it was lost")
        } catch let error as StoreError {
            #expect(error.code == .leaseLost)
        }
        #expect(ended.value == 1)
    }

    /// The next renewal would be in twenty minutes.
    @Test func aLeaseThatIsEndedByForceIsLostSoon() async throws {
        let (store, rival) = (try makeStore().0, try makeStore().0)
        do {
            try await store.withLease("key", timeToLive: .seconds(3600)) { _ in
                guard case .ended = try rival.session.endLease("key", slot: nil) else {
                    throw Unexpected("not ended")
                }
                try await Task.sleep(for: .seconds(600))
            }
            Issue.record("it was lost")
        } catch let error as StoreError {
            #expect(error.code == .leaseLost)
        }
    }

    /// A lease that was lost without anybody noticing before the end.
    @Test func aLossThatIsFoundAtTheEndIsThrown() async throws {
        let (store, _) = try makeStore()
        let path = path
        do {
            try await store.withLease("key", timeToLive: .seconds(3600)) { generation in
                try replaceLease(of: "key", in: path) { $0.generation += 1 }
            }
            Issue.record("it was lost")
        } catch let error as StoreError {
            #expect(error.code == .leaseLost)
        }
    }

    @Test func aCancelledTaskCancelsWhatRunsUnderItsLease() async throws {
        let (store, _) = try makeStore()
        let began = Counter()
        let task = Task {
            try await store.withLease("key", timeToLive: .seconds(3600)) { _ in
                began.add(1)
                try await Task.sleep(for: .seconds(600))
            }
        }
        try await reach(1, began)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try store.lease("key", .seconds(1)) != nil)
    }

    @Test func manyLeasesOfOneSessionAreRenewed() async throws {
        let (store, _) = try makeStore()
        let kept = try await withThrowingTaskGroup(of: Bool.self) { group in
            for index in 0..<100 {
                group.addTask {
                    let key = Store.Key("key-\(index)")
                    return try await store.withLease(key, timeToLive: .seconds(2)) {
                        generation in
                        try await Task.sleep(for: .seconds(3))
                        return try store.isCurrent(generation, ofLease: key)
                    }
                }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(kept == 100)
    }
}

#endif
