import Synchronization
import SystemCalls
import TestSupport

@testable import FlockCache

/// Threads that ask for one lock, and the order in which they get it.
final class LockLine: Sendable {
    let store: Store
    let key: Store.Key
    /// In microseconds.
    private let hold: UInt32
    /// Those who were served, as they were: their numbers, and when.
    private let served = Mutex<[(number: Int, time: BootTime)]>([])

    /// One that asks: served in time or not.
    typealias Waiter = WaitingThread<Bool>

    init(_ store: Store, _ key: Store.Key = "key", hold: UInt32 = 0) {
        self.store = store
        self.key = key
        self.hold = hold
    }

    var order: [Int] { served.withLock { $0.map(\.number) } }
    /// Milliseconds from each to the next.
    var gaps: [Double] {
        served.withLock { served in
            zip(served, served.dropFirst()).map { $0.time.milliseconds(to: $1.time) }
        }
    }

    /// One more asks, and is in the queue when this returns; `number` is its own.
    func come(
        _ number: Int, _ mode: HeldLock.Mode = .exclusive, waiting limit: Duration = .seconds(60)
    ) throws -> Waiter {
        let waiter = Waiter { look in
            let outcome = try self.store.session.lock([self.key], mode, waiting: limit) { _ in
                look()
            }
            guard case .held(let lock) = outcome else { return false }
            self.served.withLock { $0.append((number, BootTime.now)) }
            if self.hold > 0 { SystemCalls.sleep(nanoseconds: Int64(self.hold) * 1000) }
            lock.release()
            return true
        }
        guard waitUntil({ waiter.count > 0 }) else { throw Unexpected("\(number) does not wait") }
        return waiter
    }

    /// So many ask, one after the other.
    func come(_ numbers: Range<Int>, _ mode: HeldLock.Mode = .exclusive) throws -> [Waiter] {
        try numbers.map { try come($0, mode) }
    }
}

/// Those who ask for one lease, and the order in which they get it.
final class LeaseLine: Sendable {
    typealias Waiter = WaitingThread<Bool>

    private let served = Mutex<[Int]>([])
    private let lastFreed = Mutex(BootTime(nanoseconds: 0))

    var order: [Int] { served.withLock { $0 } }
    /// When it was about to be free last.
    var freed: BootTime { lastFreed.withLock { $0 } }

    func noteFreed(at time: BootTime = .now) { lastFreed.withLock { $0 = max($0, time) } }

    func note(_ number: Int) { served.withLock { $0.append(number) } }

    /// How many stand in the queue; nil without a board.
    static func waiters(_ store: Store) throws -> Int? {
        let queue = try LockName(Store.Key("key")).leaseQueue
        return try store.session.forWriting().board.forWaiting()?
            .waiters(inQueueOfSlot: queue.slot)
    }

    /// Whether one in the queue was passed, because it did not move for too long.
    static func somebodyWasPassed(_ store: Store) -> Bool {
        guard let queue = try? LockName(Store.Key("key")).leaseQueue,
            let board = try? store.session.forWriting().board.forWaiting()
        else { return false }
        return board.passed(in: queue) != nil
    }

    /// Asks again and again without waiting until so many were served; returns how often it had it before one of them.
    ///
    /// Where those who wait have not taken it for 100 ms, or were passed, as on a busy machine they may be, it has it by
    /// right. nil where they are not served.
    func overtakings(by other: Store, of count: Int) -> Int? {
        var overtakings = 0
        let areServed = waitUntil {
            if let lease = try? other.acquireLeaseIfAvailable("key", timeToLive: .seconds(60)) {
                let isEarly = freed.milliseconds() < 100
                if isEarly, !Self.somebodyWasPassed(other), order.count < count { overtakings += 1 }
                // Released or not: the test fails where it should not have had it.
                try? lease.release()
            }
            return order.count == count
        }
        return areServed ? overtakings : nil
    }

    /// One more asks, and is in the queue when this returns, where there is a board to tell.
    func come(
        _ number: Int, _ store: Store, slots: Int = 1, waiting limit: Duration = .seconds(60)
    ) throws -> Waiter {
        let before = try Self.waiters(store)
        let waiter = Waiter { look in
            let request = LeaseRequest(
                timeToLive: .seconds(60), slots: slots, processID: Process.id, command: [])
            let outcome = try store.session.acquireLease("key", request, waiting: limit) { _, _ in
                look()
            }
            guard case .granted(let grant) = outcome else { return false }
            self.note(number)
            self.noteFreed()
            try store.session.releaseLease("key", grant.generation)
            return true
        }
        let waits = waitUntil {
            // The time of who had it may be over already.
            if self.order.contains(number) { return true }
            guard waiter.count > 0 else { return false }
            guard let now = try? Self.waiters(store) else {
                return before == nil && waiter.count > 1
            }
            return now == (before ?? 0) + 1
        }
        guard waits else { throw Unexpected("\(number) does not wait") }
        return waiter
    }

    func come(_ numbers: Range<Int>, _ store: Store, slots: Int = 1) throws -> [Waiter] {
        try numbers.map { try come($0, store, slots: slots) }
    }
}

/// How many pairs of numbers that should rise do not, where they are further apart than that.
func swappedPairs(_ order: [Int], within distance: Int = 0) -> Int {
    var swaps = 0
    for (index, later) in order.enumerated() {
        for earlier in order[..<index] where earlier > later + distance { swaps += 1 }
    }
    return swaps
}
