internal import Synchronization
internal import SystemCalls

extension Store {
    /// Exclusion until a time.
    ///
    /// Dropped, it is released if it is still ours. It outlives neither its time nor, unless it is renewed, a
    /// process that is stopped: pass ``generation`` to whatever the lease protects, so that it can refuse a holder
    /// that came too late; see ``Store/isCurrent(_:ofLease:)``. In a forked child a lease of the parent is inert.
    public struct Lease: ~Copyable, Sendable {
        private let ticket: Ticket

        init(
            _ session: Session, _ key: Store.Key, _ grant: LeaseGrant, timeToLive: Duration,
            hasSlots: Bool
        ) {
            ticket = Ticket(session, key, grant, timeToLive)
            slot = hasSlots ? grant.slot : nil
        }

        /// The number of this grant, higher than that of every earlier one of the key: the fencing token.
        public var generation: Store.Generation { ticket.generation }

        /// Which slot it is, 0 and up; nil where the lease has one holder only.
        public let slot: Int?

        /// How long it lasts if it is not renewed, by a clock that runs through suspend; zero when it is over, and from
        /// when on a renewal has found it lost.
        ///
        /// It may end earlier only by `release`, and where somebody ends it by force (`flock-cache lease release
        /// --force`), which a renewal finds, and `withLease` within a second on a local file system. Nobody else has
        /// the lease before it is over.
        public var timeLeft: Duration { ticket.timeLeft }

        /// Begins the time to live anew.
        ///
        /// Also after its time is over, as long as nobody else has got the lease.
        ///
        /// - Throws: `.leaseLost` when somebody else has it, or it was ended by force; nothing is then changed, and it
        ///   stays lost. What the system refuses; the lease then lasts as long as it did.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        public func renew() throws(StoreError) {
            try ticket.renew(onlyHeld: false, patience: Limits.patience)
        }

        /// Releases the lease, as the end of the value's life does, and reports the error.
        ///
        /// Safe to call from any thread and more than once: only the first call releases, and what it threw is
        /// not thrown again. In a `defer` block write `try?`: a lease that cannot be released expires.
        ///
        /// - Throws: `.leaseLost` when another process has the lease by now.
        public func release() throws(StoreError) { try ticket.release() }

        var renewable: any RenewableLease { ticket }

        /// What ends exactly once.
        private final class Ticket: RenewableLease {
            let session: Session
            let key: Store.Key
            let generation: Store.Generation
            let timeToLive: Duration
            private let epoch = ForkEpoch.current
            private let isOver = Atomic<Bool>(false)
            private let isLost = Atomic<Bool>(false)
            /// Nanoseconds of the boot clock.
            private let deadline: Atomic<Int64>

            init(
                _ session: Session, _ key: Store.Key, _ grant: LeaseGrant, _ timeToLive: Duration
            ) {
                self.session = session
                self.key = key
                self.timeToLive = timeToLive
                generation = grant.generation
                deadline = Atomic(grant.deadline.nanoseconds)
            }

            deinit {
                guard !isOver.load(ordering: .relaxed), epoch == ForkEpoch.current else { return }
                // Nobody is there to hear of an error; without this it expires.
                session.changeWhileDropped(key) { [session, key, generation] in
                    try? session.releaseLease(key, generation)
                }
            }

            var timeLeft: Duration {
                guard epoch == ForkEpoch.current, !isOver.load(ordering: .relaxed),
                    !isLost.load(ordering: .relaxed)
                else { return .zero }
                let left = deadline.load(ordering: .relaxed) - BootTime.now.nanoseconds
                return .nanoseconds(max(0, left))
            }

            func renew(onlyHeld: Bool, patience: Duration) throws(StoreError) {
                guard epoch == ForkEpoch.current, !isOver.load(ordering: .relaxed),
                    !isLost.load(ordering: .relaxed)
                else { throw .leaseLost("renew", key, holder: nil) }
                // From before: what is written may say a moment more, never less.
                let start = BootTime.now
                do throws(StoreError) {
                    try session.renewLease(
                        key, generation, onlyHeld: onlyHeld, patience: patience)
                } catch {
                    if error.code == .leaseLost { isLost.store(true, ordering: .relaxed) }
                    throw error
                }
                deadline.store(start.advanced(by: timeToLive).nanoseconds, ordering: .relaxed)
            }

            func isStillHeld() throws(StoreError) -> Bool {
                try session.isLeaseHeld(key, generation)
            }

            func leave() { isOver.store(true, ordering: .relaxed) }

            func release() throws(StoreError) {
                guard epoch == ForkEpoch.current, !isOver.exchange(true, ordering: .relaxed) else {
                    return
                }
                try session.releaseLease(key, generation)
            }
        }
    }
}

/// The short name inside this package.
package typealias Lease = Store.Lease

#if Async
extension Store.Lease {
    /// Begins the time to live anew; the task blocks no thread for a stopped process.
    ///
    /// Also after its time is over, as long as no other process has acquired the lease.
    ///
    /// - Throws: `.leaseLost` when another process has it, or it was ended by force; what the system refuses; and
    ///   `CancellationError` when the task is cancelled while it waits for a stopped process: the lease may be renewed
    ///   all the same.
    nonisolated(nonsending)
        public func renew() async throws
    {
        let ticket = ticket
        try await ticket.session.carryOut(ticket.key) { () throws(StoreError) in
            try ticket.renew(onlyHeld: false, patience: Limits.patience)
        }
    }

    /// Releases the lease, and reports the error; the task blocks no thread for a stopped process.
    ///
    /// Safe to call more than once: only the first call releases. In a `defer` block, which cannot await anything, the
    /// compiler takes the blocking form; write `try?` there.
    ///
    /// - Throws: `.leaseLost` when another process has the lease by now; `CancellationError` when the task is cancelled
    ///   while it waits for a stopped process: the lease is released as soon as that goes on.
    nonisolated(nonsending)
        public func release() async throws
    {
        let ticket = ticket
        try await ticket.session.carryOut(ticket.key) { () throws(StoreError) in
            try ticket.release()
        }
    }
}
#endif

/// A lease as those see it who keep it renewed.
protocol RenewableLease: AnyObject, Sendable {
    var timeToLive: Duration { get }
    var timeLeft: Duration { get }
    /// Waits no longer than that for somebody else's change.
    ///
    /// - Parameter onlyHeld: whether one that is over is lost, and not renewed.
    func renew(onlyHeld: Bool, patience: Duration) throws(StoreError)
    /// Whether nobody has ended it by force; reads only.
    func isStillHeld() throws(StoreError) -> Bool
    /// Lets it expire: releasing it could wait for a server that does not answer.
    func leave()
    /// Once; from then on it is over.
    func release() throws(StoreError)
}
