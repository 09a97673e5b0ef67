@testable import FlockCache

/// A guard in a box, so that it can be put into variables and closures.
final class KeptLock: @unchecked Sendable {
    // Used by one thread at a time.
    private var lock: HeldLock?
    let slot: Int?

    init(_ lock: consuming HeldLock) {
        slot = lock.slot
        self.lock = consume lock
    }

    func release() { lock = nil }
}

extension Store {
    /// The locks in a box, if they are free.
    func tryLock(_ keys: [Key], _ mode: HeldLock.Mode = .exclusive) throws -> KeptLock? {
        guard let lock = try lockIfAvailable(keys, mode: mode) else { return nil }
        return KeptLock(lock)
    }
}
