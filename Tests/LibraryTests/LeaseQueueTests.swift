import Glibc
import Synchronization
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Those who wait for a lease are served in the order in which they came.
@Suite(.ownThreads) struct LeaseQueueTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private let line = LeaseLine()

    enum BoardState: String, CaseIterable { case there, none, deletedMidway }

    private func makeStore(_ state: BoardState = .there) throws -> Store {
        let store = try Store(at: path)
        if state == .none {
            _ = try store.session.make(Marker())
            mkdir(path + "/board", 0o700)
        }
        return store
    }

    private func check(_ waiters: [LeaseLine.Waiter], _ count: Int) throws {
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order == Array(0..<count), "\(line.order)")
    }

    @Test(arguments: BoardState.allCases)
    func whoComesFirstIsServedFirst(_ state: BoardState) throws {
        let store = try makeStore(state)
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let waiters = try line.come(0..<32, store)
        if state == .deletedMidway { #expect(unlink(path + "/board") == 0) }
        try kept.release()
        for waiter in waiters { #expect(try waiter.result()) }
        // Where the machine is so busy that one is not scheduled for a long time it is passed.
        #expect(line.order.count == 32 && swappedPairs(line.order) <= 5, "\(line.order)")
    }

    @Test func atTheEndOfItsTimeToo() throws {
        let store = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(2)))
        try check(try line.come(0..<10, store), 10)
        _ = kept
    }

    @Test func whatIsEndedByForceTheFirstHas() throws {
        let store = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let waiters = try line.come(0..<5, store)
        guard case .ended(.some) = try store.session.endLease("key", slot: nil) else {
            Issue.record("it was not ended")
            return
        }
        try check(waiters, 5)
        _ = kept
    }

    /// Of several who may have it at once each goes when it is its turn; one that has its slot may be noted late.
    @Test func slotsAreGrantedInTheOrderOfArrival() throws {
        let store = try makeStore()
        let kept = try (0..<3).map { _ in
            try #require(try store.lease("key", .seconds(3600), slots: 3))
        }
        let waiters = try line.come(0..<30, store, slots: 3)
        for lease in kept { try lease.release() }
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(
            line.order.count == 30 && swappedPairs(line.order, within: 3) <= 3, "\(line.order)")
    }

    /// Whoever asks again and again without waiting has it only when nobody waits.
    @Test(arguments: [true, false])
    func whoDoesNotWaitOvertakesNobody(byRelease: Bool) throws {
        let store = try makeStore()
        let kept = try #require(
            try store.lease("key", byRelease ? .seconds(3600) : .seconds(2)))
        if !byRelease { line.noteFreed(at: BootTime.now.advanced(by: .seconds(2))) }
        let waiters = try line.come(0..<10, store)
        if byRelease {
            line.noteFreed()
            try kept.release()
        }
        #expect(line.overtakings(by: try Store(at: path), of: 10) == 0)
        try check(waiters, 10)
    }

    /// Nobody tells that its owner has died: neither does who asks then have it before those who wait.
    @Test func theDeathOfItsOwnerServesTheFirst() throws {
        let store = try makeStore()
        let owner = Child("sleep", ["1000"])
        let identity = try #require(try ProcessIdentity(of: owner.id))
        let request = LeaseRequest(
            timeToLive: nil, owner: identity, processID: owner.id, command: [])
        let outcome = try store.session.acquireLease("key", request, waiting: .zero) { _, _ in }
        guard case .granted = outcome else {
            Issue.record("it was not granted")
            return
        }
        let waiters = try line.come(0..<3, store)
        line.noteFreed()
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(line.overtakings(by: try Store(at: path), of: 3) == 0)
        try check(waiters, 3)
    }

    @Test func aLockAndALeaseOfOneKeyDoNotMeet() throws {
        let store = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let waiters = try line.come(0..<2, store)
        let lock = try #require(try store.tryLock(["key"]))
        let locks = LockLine(store)
        let others = try locks.come(0..<2)
        try kept.release()
        try check(waiters, 2)
        let next = try #require(try store.lease("key", .seconds(3600)))
        lock.release()
        for other in others { #expect(try other.result()) }
        try next.release()
    }

    @Test func whoGivesUpKeepsNobodyBehind() throws {
        let store = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let first = try line.come(7, store, waiting: .milliseconds(300))
        let waiters = try line.come(0..<3, store)
        #expect(try !first.result())
        try kept.release()
        try check(waiters, 3)
    }

    /// The file in which they wait is removed under them: those who come later find the others.
    @Test func theirFileMayBeRemoved() throws {
        let store = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let early = try line.come(0..<3, store)
        let table = try LockName(Store.Key("key")).table
        let name = String(decoding: hexadecimal(UInt64(table), digits: 2), as: UTF8.self)
        let file = "\(path)/locks/\(name)"
        #expect(unlink(file) == 0, "\(file)")
        let late = try line.come(3..<6, store)
        try kept.release()
        for waiter in early + late { #expect(try waiter.result()) }
        // Until one of them is first nobody looks whether the file is there: those behind it meet in the new one.
        #expect(Set(line.order) == Set(0..<6), "\(line.order)")
    }

    #if Async
    @Test func tasksAndThreadsStandInOneQueue() async throws {
        let store = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let line = line
        try await withThrowingTaskGroup(of: Void.self) { group in
            var threads: [LeaseLine.Waiter] = []
            for number in 0..<12 {
                if number.isMultiple(of: 3) {
                    threads.append(try line.come(number, store))
                } else {
                    group.addTask {
                        let lease = try await store.acquireLease("key", timeToLive: .seconds(60))
                        line.note(number)
                        try await lease.release()
                    }
                    #expect(waitUntil { (try? LeaseLine.waiters(store)) == number + 1 })
                }
            }
            try kept.release()
            try await group.waitForAll()
            for thread in threads { #expect(try thread.result()) }
        }
        #expect(line.order == Array(0..<12), "\(line.order)")
    }

    @Test func aCancelledTaskLeavesItsPlace() async throws {
        let store = try makeStore()
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let task = Task {
            let lease = try await store.acquireLease("key", timeToLive: .seconds(60))
            try await lease.release()
        }
        #expect(waitUntil { (try? LeaseLine.waiters(store)) == 1 })
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try LeaseLine.waiters(store) == 0)
        try kept.release()
        let next = try #require(try store.lease("key", .seconds(60)))
        try next.release()
    }
    #endif
}
