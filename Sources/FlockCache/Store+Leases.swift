internal import SystemCalls

extension Store {
    /// Acquires a lease, waiting for it.
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
            "Write 'try await'. At the top level of main.swift also move the call into an 'async' function."
    )
    public func acquireLease(
        _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1, wait: Wait = .standard
    ) throws(StoreError) -> Lease {
        let key = key.storeKey
        var notice = WaitNotice(session.configuration)
        let outcome = try session.acquireLease(
            key, request(timeToLive, slots), waiting: blockingLimit(of: wait)
        ) { holder, _ in notice.tell(key, holder) }
        switch outcome {
        case .granted(let grant):
            return Lease(session, key, grant, timeToLive: timeToLive, hasSlots: slots > 1)
        case .busy(let holder): throw .leaseWaitEnded(key, holder)
        }
    }

    /// Acquires a lease if it is free.
    ///
    /// As ``acquireLease(_:timeToLive:slots:wait:)``, without waiting.
    ///
    /// - Returns: nil where somebody else has it.
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
