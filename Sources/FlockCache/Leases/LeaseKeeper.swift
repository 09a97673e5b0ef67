internal import SystemCalls

/// The thread of a session that keeps leases renewed, each at a third of its time to live, and tells of those
/// that are lost.
///
/// A thread of its own: a task could find all the threads that tasks share busy for longer than that. One
/// for all leases, which is there while there are any.
final class LeaseKeeper: Sendable {
    /// One lease being kept.
    final class Keeping: Sendable {
        fileprivate let lease: any RenewableLease
        fileprivate let onLoss: @Sendable () -> Void
        // Under the lock of the keeper.
        fileprivate nonisolated(unsafe) var renewal: LeaseRenewal

        fileprivate init(_ lease: any RenewableLease, _ onLoss: @escaping @Sendable () -> Void) {
            self.lease = lease
            self.onLoss = onLoss
            renewal = LeaseRenewal(lease.timeToLive)
        }
    }

    private struct State {
        var keepings: [Keeping] = []
        var hasThread = false
    }

    private let mutex = ThreadMutexes(count: 1)
    private nonisolated(unsafe) var state = State()
    /// What the thread sleeps on.
    private let bell = SharedMemory(count: 64)

    private func withState<R>(_ body: (inout State) -> R) -> R {
        _ = mutex.lock(0, until: BootTime(nanoseconds: .max))
        defer { mutex.unlock(0) }
        return body(&state)
    }

    /// Keeps a lease renewed until `stop`; calls the closure when it is lost.
    func keep(
        _ lease: any RenewableLease, onLoss: @escaping @Sendable () -> Void
    ) throws(StoreError) -> Keeping {
        let keeping = Keeping(lease, onLoss)
        let needsThread = withState { state in
            state.keepings.append(keeping)
            defer { state.hasThread = true }
            return !state.hasThread
        }
        guard needsThread else {
            bell.wake(1, at: 0, bits: .max)
            return keeping
        }
        do throws(Errno) {
            try startThread { self.run() }
        } catch {
            // Others that have come meanwhile are told: nobody keeps their leases.
            let others = withState { state in
                defer { state = State() }
                return state.keepings
            }
            for other in others where other !== keeping { other.onLoss() }
            throw StoreError(error, "start a thread")
        }
        return keeping
    }

    /// Ends it; nothing is told from when this has returned.
    func stop(_ keeping: Keeping) {
        withState { $0.keepings.removeAll { $0 === keeping } }
        // The thread ends when there is nothing to keep.
        bell.wake(1, at: 0, bits: .max)
    }

    private func run() {
        while true {
            let seen = bell.word(at: 0)
            let keepings = withState { state in
                if state.keepings.isEmpty { state.hasThread = false }
                return state.keepings
            }
            if keepings.isEmpty { return }
            for keeping in keepings where keeping.renewal.timeLeft <= .zero { renew(keeping) }
            let next = withState { state in
                state.keepings.reduce(BootTime(nanoseconds: .max)) { min($0, $1.renewal.next) }
            }
            bell.wait(at: 0, while: seen, bits: .max, until: next)
        }
    }

    private func renew(_ keeping: Keeping) {
        let lease = keeping.lease
        do throws(StoreError) {
            // Not for long: others are due as well.
            try lease.renew(patience: LeaseRenewal.patience(lease.timeToLive))
            withState { _ in keeping.renewal.succeeded() }
        } catch {
            guard error.code == .leaseLost || lease.timeLeft == .zero else {
                return withState { _ in keeping.renewal.failed() }
            }
            // Told under the lock, so that nothing is told after `stop`.
            withState { state in
                guard let index = state.keepings.firstIndex(where: { $0 === keeping }) else {
                    return
                }
                state.keepings.remove(at: index)
                keeping.onLoss()
            }
        }
    }
}

/// When a lease is renewed.
package struct LeaseRenewal {
    private let interval: Duration
    /// When to renew it next, by the boot clock.
    private(set) var next: BootTime

    /// How long until then; negative when it is due.
    package var timeLeft: Duration { .nanoseconds(next.nanoseconds - BootTime.now.nanoseconds) }

    /// At a third of the time to live: two renewals may fail before it is over.
    package init(_ timeToLive: Duration) {
        interval = max(.milliseconds(1), timeToLive / 3)
        next = BootTime.now.advanced(by: interval)
    }

    package mutating func succeeded() { next = BootTime.now.advanced(by: interval) }

    /// What the system refused it may permit in a moment.
    package mutating func failed() {
        next = BootTime.now.advanced(by: min(.seconds(1), interval / 4))
    }

    /// How long a renewal waits for somebody else's change.
    package static func patience(_ timeToLive: Duration) -> Duration {
        min(.seconds(1), max(.milliseconds(10), timeToLive / 10))
    }
}
