internal import Synchronization
internal import SystemCalls

/// The leases that a session keeps renewed, each at a third of its time to live: a watch of a look-out of
/// its own.
///
/// In between it looks each second whether one was ended by force, where no file server has to be asked.
///
/// On a thread of its own, beside the one that waits for keys and locks: a renewal writes to a file and,
/// in a durable store, waits for the device. docs/decisions/0029 has the measurement.
///
/// A lease whose time is over is lost, whatever a renewal would say: while this process was stopped or
/// the machine suspended, what the lease protects ran unprotected. Where the device or the server does not answer, a
/// renewal keeps its thread in the kernel for as long as it likes; so that a lease is over tells another one, which
/// makes no file operation (`LeaseDeadlines`).
final class LeaseRenewals: Watch {
    /// One lease being kept.
    final class Keeping: Sendable {
        fileprivate let lease: any RenewableLease
        fileprivate let onLoss: @Sendable () -> Void
        fileprivate let isChecked: Bool
        fileprivate let state: Mutex<State>

        fileprivate struct State {
            var renewal: LeaseRenewal
            var isBeingRenewed = false
            var hasEnded = false
        }

        fileprivate init(
            _ lease: any RenewableLease, isChecked: Bool, _ onLoss: @escaping @Sendable () -> Void
        ) {
            self.lease = lease
            self.isChecked = isChecked
            self.onLoss = onLoss
            state = Mutex(State(renewal: LeaseRenewal(lease.timeToLive)))
        }

        fileprivate var timeToRenew: Duration { state.withLock { $0.renewal.timeLeft } }
        fileprivate var timeToCheck: Duration {
            isChecked ? state.withLock { $0.renewal.timeToCheck } : lease.timeToLive
        }

        /// Whether a renewal is being made, which may be waiting for a device or a server.
        var isBeingRenewed: Bool { state.withLock { $0.isBeingRenewed } }

        /// Whether releasing the lease, once it is lost, could wait for a device or a server that does not answer.
        func mayHang(in store: OpenStore) -> Bool { !store.isLocal || isBeingRenewed }

        /// Ends it as lost, and tells.
        fileprivate func lose() { if end() { onLoss() } }

        /// True for whoever is the first to end it.
        fileprivate func end() -> Bool {
            state.withLock { state in
                defer { state.hasEnded = true }
                return !state.hasEnded
            }
        }
    }

    private let keepings = Mutex<[Keeping]>([])
    private let deadlines = LeaseDeadlines()
    private let watchdog = LookOut()

    /// Keeps a lease renewed until `stop`; calls the closure when it is lost.
    func keep(
        _ lease: any RenewableLease, in store: OpenStore, onLoss: @escaping @Sendable () -> Void
    ) throws(StoreError) -> Keeping {
        let keeping = Keeping(lease, isChecked: store.isLocal, onLoss)
        keepings.withLock { $0.append(keeping) }
        deadlines.add(keeping)
        // No board: what ends a sleep early is a call of this process.
        try watchdog.add(deadlines) { nil }
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
        deadlines.remove(keeping)
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
        keeping.lose()
    }

    func look(with board: Board?) -> BootTime? {
        var next: BootTime?
        for keeping in keepings.withLock({ $0 }) {
            let left = keeping.lease.timeLeft
            guard left > .zero else {
                lose(keeping)
                continue
            }
            let isDue =
                keeping.timeToRenew <= .zero
                || keeping.timeToCheck <= .zero && !isStillHeld(keeping)
            if isDue, !renew(keeping) { continue }
            let nap = min(keeping.timeToRenew, keeping.timeToCheck, keeping.lease.timeLeft)
            let end = BootTime.now.advanced(by: nap)
            next = min(next ?? end, end)
        }
        return next
    }

    /// False where a renewal is to say that it is lost.
    private func isStillHeld(_ keeping: Keeping) -> Bool {
        keeping.state.withLock { $0.renewal.wasChecked() }
        // What cannot be read now the next renewal finds.
        return (try? keeping.lease.isStillHeld()) ?? true
    }

    /// False when the lease is lost.
    private func renew(_ keeping: Keeping) -> Bool {
        keeping.state.withLock { $0.isBeingRenewed = true }
        defer { keeping.state.withLock { $0.isBeingRenewed = false } }
        let start = BootTime.now
        do throws(StoreError) {
            // Others are due as well: a busy shard is tried again.
            try keeping.lease.renew(onlyHeld: true, patience: .zero)
            let took = Duration.nanoseconds(BootTime.now.nanoseconds - start.nanoseconds)
            keeping.state.withLock { $0.renewal.succeeded(after: took) }
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

/// Tells of leases whose time is over, by the clock alone: a watch of a look-out of its own, whose thread makes no file
/// operation.
private final class LeaseDeadlines: Watch {
    private let keepings = Mutex<[LeaseRenewals.Keeping]>([])

    func add(_ keeping: LeaseRenewals.Keeping) { keepings.withLock { $0.append(keeping) } }

    func remove(_ keeping: LeaseRenewals.Keeping) {
        keepings.withLock { $0.removeAll { $0 === keeping } }
    }

    func look(with board: Board?) -> BootTime? {
        var next: BootTime?
        for keeping in keepings.withLock({ $0 }) {
            let left = keeping.lease.timeLeft
            guard left > .zero else {
                remove(keeping)
                keeping.lose()
                continue
            }
            let end = BootTime.now.advanced(by: left)
            next = min(next ?? end, end)
        }
        return next
    }

    func fail(_ error: StoreError) {
        let kept = keepings.withLock { keepings in
            defer { keepings = [] }
            return keepings
        }
        for keeping in kept { keeping.lose() }
    }
}
