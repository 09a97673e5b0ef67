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

/// Takes locks on a thread of its own and releases them; false when the wait ended first.
func lockInThread(
    _ store: Store, _ keys: [Store.Key], _ mode: HeldLock.Mode = .exclusive
) -> WaitingThread<Bool> {
    WaitingThread { look in
        let outcome = try store.session.lock(keys, mode, waiting: .seconds(30)) { _ in look() }
        switch consume outcome {
        case .held(let lock):
            lock.release()
            return true
        case .busy: return false
        }
    }
}
