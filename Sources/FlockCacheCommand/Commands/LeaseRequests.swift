internal import FlockCache
internal import SystemCalls

// What the commands for leases have in common.

/// Asks for a lease, saying what is waited for.
func acquire(
    _ key: Store.Key, _ request: LeaseRequest, _ wait: Wait, in store: Store,
    _ invocation: Invocation, refusing refusal: WaitNotice.Refusal? = nil
) throws(Failure) -> LeaseOutcome {
    let notice = WaitNotice(invocation, key, wait, in: store, refusing: refusal)
    return try failing { () throws(StoreError) in
        try store.session.acquireLease(
            key, request, waiting: wait.limit, whileWaiting: notice.lookAtLease)
    }
}

extension Invocation {
    /// What the options ask for.
    func leaseRequest() throws(Failure) -> LeaseRequest {
        let timeToLive = duration(.timeToLive)
        let ownerID = number(.leaseOwner)
        guard timeToLive != nil || ownerID != nil else {
            throw .usage("a lease needs --ttl, or --owner to end with")
        }
        guard timeToLive != .zero else { throw .usage("--ttl takes a time above 0") }
        if let timeToLive, timeToLive > Limits.timeToLive || timeToLive < .microseconds(1) {
            throw .usage("--ttl takes 1 microsecond to \(Limits.timeToLiveInWords)")
        }
        let slots = try possibleSlots(count(.leaseSlots) ?? 1)
        guard let ownerID else {
            // For messages only.
            let caller = try? CallingProgram.find()
            return LeaseRequest(
                timeToLive: timeToLive, slots: slots,
                processID: caller?.identity.id ?? Process.parent, command: caller?.command ?? [])
        }
        let owner = try CallingProgram.named(ownerID)
        return LeaseRequest(
            timeToLive: timeToLive, owner: owner.identity, slots: slots,
            processID: owner.identity.id, command: owner.command)
    }

    /// The lease that a command is about, which stands there with its number.
    ///
    /// - Parameter otherwise: what may stand in the place of the number.
    func leaseNamed(orElse otherwise: String = "") throws(Failure) -> (
        Store, Store.Key, Store.Generation
    ) {
        guard let generation = number(.leaseGeneration) else {
            throw .usage(
                "--generation is needed: the number that lease acquire printed" + otherwise)
        }
        return (try openStore(), key(), generation)
    }
}
