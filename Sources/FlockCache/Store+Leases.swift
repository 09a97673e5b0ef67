internal import SystemCalls

extension Store {
    /// Acquires a lease, waiting for it in the order of arrival; blocks the thread while it waits.
    ///
    /// It is ours until its time is over, until it is renewed no more or released, whatever becomes of this
    /// process. Its generation is higher than any that the key ever had, through releases, expiry and removal of
    /// its record.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes; leases share no names with entries and locks.
    ///   - timeToLive: by a clock that runs through suspend and that nobody sets; at least a microsecond.
    ///   - slots: how many may have the lease at once, 1 to 4096. Everybody should name the same number.
    ///   - wait: how long at most; it never ends early.
    /// - Throws: `.timedOut` when the wait ended; `.invalidKey`; what the system refuses.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func acquireLease(
        _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1, wait: Wait = .standard
    ) throws(StoreError) -> Lease {
        let key = key.storeKey
        var notice = WaitNotice(session.configuration)
        let outcome = try session.acquireLease(
            key, request(timeToLive, slots), waiting: blockingLimit(of: wait)
        ) { (holder, _) throws(StoreError) in
            if slots == 1 { try session.checkWait(for: .lease, key, holder) }
            notice.tell(key, holder)
        }
        switch outcome {
        case .granted(let grant):
            return Lease(session, key, grant, timeToLive: timeToLive, hasSlots: slots > 1)
        case .busy(let holder): throw .leaseWaitEnded(key, holder)
        }
    }

    /// Acquires a lease if it is free and nobody waits for it; does not wait.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - timeToLive: how long the lease lasts without a renewal; at least a microsecond.
    ///   - slots: how many may hold the lease at once, 1 to 4096.
    /// - Returns: nil where another thread, task or process holds it, or waits for it.
    /// - Throws: `.invalidKey`; what the system refuses.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func acquireLeaseIfAvailable(
        _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1
    ) throws(StoreError) -> Lease? {
        let key = key.storeKey
        let outcome = try session.acquireLease(key, request(timeToLive, slots), waiting: .zero) {
            _, _ in
        }
        guard case .granted(let grant) = outcome else { return nil }
        return Lease(session, key, grant, timeToLive: timeToLive, hasSlots: slots > 1)
    }

    /// Runs a closure under a lease, which a thread of the store renews at a third of its time to live; blocks the
    /// thread while it waits.
    ///
    ///     try store.withLease("primary", timeToLive: .seconds(30)) { generation in
    ///         while try store.isCurrent(generation, ofLease: "primary") { try serve(generation) }
    ///     }
    ///
    /// The lease is released when the closure has ended. A closure that runs for long asks
    /// ``isCurrent(_:ofLease:)`` from time to time: nothing interrupts it when the lease is lost. A call for the same
    /// key inside the closure would wait for itself and is refused.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - timeToLive: how long the lease lasts without a renewal.
    ///   - slots: how many may hold the lease at once, 1 to 4096.
    ///   - wait: how long to wait for the lease.
    ///   - body: gets the generation of the lease.
    /// - Throws: what the closure throws; `.leaseLost` after it has ended, when the lease was lost; `.timedOut`;
    ///   `.wouldDeadlock`; `.invalidKey`; what the system refuses.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func withLease<R: ~Copyable>(
        _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1, wait: Wait = .standard,
        _ body: (Generation) throws -> R
    ) throws -> R {
        let key = key.storeKey
        let lease = try acquireLease(key, timeToLive: timeToLive, slots: slots, wait: wait)
        guard lease.timeLeft > .zero else { throw StoreError.leaseOver(key) }
        // Not `forWriting`, which would make a store anew that was removed since.
        guard let store = try session.existing() else {
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        let renewals = store.renewer.watch { LeaseRenewals() }
        let keeping = try renewals.keep(lease.renewable, in: store) {}
        let result: Result<R, any Error>
        do {
            result = .success(
                try session.working(.lease, key, in: store) { try body(lease.generation) })
        } catch {
            result = .failure(error)
        }
        // What ended after the lease was over, and before anybody saw that, may have been done beside somebody else.
        let isOver = lease.timeLeft == .zero
        guard renewals.stop(keeping, in: store), !isOver, !store.files.isElsewhere else {
            if keeping.mayHang(in: store) { lease.renewable.leave() }
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        // Lost in the last moment: what was done may have been done beside somebody else.
        try lease.release()
        return try result.get()
    }

    /// Whether a generation is still the current one of a lease: what a resource asks that is to refuse those
    /// who come too late.
    ///
    /// Of a lease with slots, whether any of them has it. False also when its time is over.
    public func isCurrent(
        _ generation: Generation, ofLease key: some KeyConvertible
    ) throws(StoreError) -> Bool {
        try session.checkLease(key.storeKey, generation)
    }

    func request(_ timeToLive: Duration, _ slots: Int) -> LeaseRequest {
        LeaseRequest(
            timeToLive: timeToLive, slots: slots, processID: Process.id,
            command: ProgramName.plain)
    }
}
