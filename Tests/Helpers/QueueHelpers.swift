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

/// How many pairs of numbers that should rise do not, where they are further apart than that.
func swappedPairs(_ order: [Int], within distance: Int = 0) -> Int {
    var swaps = 0
    for (index, later) in order.enumerated() {
        for earlier in order[..<index] where earlier > later + distance { swaps += 1 }
    }
    return swaps
}
