internal import Synchronization
internal import SystemCalls

/// The leases that a session keeps renewed, each at a third of its time to live: a watch of a look-out of
/// its own.
///
/// On a thread of its own, beside the one that waits for keys and locks: a renewal writes to a file and,
/// in a durable store, waits for the device. docs/decisions/0029 has the measurement.
///
/// A lease whose time is over is lost, whatever a renewal would say: while this process was stopped or
/// the machine suspended, what the lease protects ran unprotected.
final class LeaseRenewals: Watch {
    /// One lease being kept.
    final class Keeping: Sendable {
        fileprivate let lease: any RenewableLease
        fileprivate let onLoss: @Sendable () -> Void
        fileprivate let state: Mutex<State>

        fileprivate struct State {
            var renewal: LeaseRenewal
            var hasEnded = false
        }

        fileprivate init(_ lease: any RenewableLease, _ onLoss: @escaping @Sendable () -> Void) {
            self.lease = lease
            self.onLoss = onLoss
            state = Mutex(State(renewal: LeaseRenewal(lease.timeToLive)))
        }

        fileprivate var next: BootTime { state.withLock { $0.renewal.next } }

        /// True for whoever is the first to end it.
        fileprivate func end() -> Bool {
            state.withLock { state in
                defer { state.hasEnded = true }
                return !state.hasEnded
            }
        }
    }

    private let keepings = Mutex<[Keeping]>([])

    /// Keeps a lease renewed until `stop`; calls the closure when it is lost.
    func keep(
        _ lease: any RenewableLease, in store: OpenStore, onLoss: @escaping @Sendable () -> Void
    ) throws(StoreError) -> Keeping {
        let keeping = Keeping(lease, onLoss)
        keepings.withLock { $0.append(keeping) }
        // No board: what ends a sleep early is a call of this process.
        try store.renewer.add(self) { nil }
        return keeping
    }

    /// Ends it; false where the lease was lost before, which its closure has been or is being told.
    func stop(_ keeping: Keeping, in store: OpenStore) -> Bool {
        remove(keeping)
        // The thread ends when there is nothing to keep.
        store.renewer.ring()
        return keeping.end()
    }

    private func remove(_ keeping: Keeping) {
        keepings.withLock { $0.removeAll { $0 === keeping } }
    }

    func fail(_ error: StoreError) {
        let kept = keepings.withLock { keepings in
            defer { keepings = [] }
            return keepings
        }
        for keeping in kept { lose(keeping) }
    }

    private func lose(_ keeping: Keeping) {
        remove(keeping)
        if keeping.end() { keeping.onLoss() }
    }

    func look(with board: Board?) -> BootTime? {
        var next: BootTime?
        for keeping in keepings.withLock({ $0 }) {
            let left = keeping.lease.timeLeft
            guard left > .zero else {
                lose(keeping)
                continue
            }
            if keeping.next <= BootTime.now, !renew(keeping) { continue }
            let end = min(keeping.next, BootTime.now.advanced(by: keeping.lease.timeLeft))
            next = min(next ?? end, end)
        }
        return next
    }

    /// False when the lease is lost.
    private func renew(_ keeping: Keeping) -> Bool {
        do throws(StoreError) {
            // Others are due as well: a busy shard is tried again.
            try keeping.lease.renew(onlyHeld: true, patience: .zero)
            keeping.state.withLock { $0.renewal.succeeded() }
        } catch {
            switch error.code {
            case .leaseLost:
                lose(keeping)
                return false
            case .timedOut: keeping.state.withLock { $0.renewal.wasBusy() }
            default: keeping.state.withLock { $0.renewal.failed() }
            }
        }
        return true
    }
}
