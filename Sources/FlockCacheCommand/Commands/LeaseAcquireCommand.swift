internal import FlockCache

extension Verb {
    static let leaseAcquire = Verb(
        name: "lease acquire", group: .leases, summary: "Acquire a lease.",
        operands: ["NAME"],
        options: [
            .timeToLive, .leaseSlots, .leaseOwner, .leaseWait, .noWait, .encoded,
        ],
        detail: """
            A lease is held without a running flock-cache process: until its time to live (--ttl) is over, until its --owner exits, or until it is released, whichever comes first. At least one of --ttl and --owner is required.

            Prints the generation (fencing token) and, with --slots, the slot. Pass the generation to the resource that the lease protects: it refuses a number lower than one it has seen.
            """,
        exits: """
            0 acquired: GENERATION, or GENERATION SLOT, is printed
            65 the lease's record was corrupt and was quarantined
            75 busy
            124 timed out
            """,
        example: """
            g=$(flock-cache lease acquire primary --ttl 30s) || exit
            flock-cache lease acquire port --slots 8 --owner $$
            """,
        run: runAcquire)
}

@Sendable private func runAcquire(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let request = try invocation.leaseRequest()
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = invocation.waitIfTold()
    switch try acquire(key, request, wait, in: store, invocation) {
    case .busy(let holder):
        _ = try invocation.busy(.lease(key), holder, wait)
        return wait.end
    case .granted(let grant):
        do throws(Failure) {
            try report(grant, of: key, invocation)
        } catch {
            // Nobody learnt of it, so nobody would renew or release it.
            let isReleased = (try? store.session.releaseLease(key, grant.generation)) != nil
            throw Failure(
                error.code,
                error.message + (isReleased ? "; the lease was released" : "; it runs out"))
        }
        return .yes
    }
}

private func report(
    _ grant: LeaseGrant, of key: Store.Key, _ invocation: Invocation
) throws(Failure) {
    let hasSlots = invocation.has(.leaseSlots)
    guard invocation.has(.json) else {
        return try invocation.print("\(grant.generation)" + (hasSlots ? " \(grant.slot)" : ""))
    }
    var members = JSON.members(
        "acquired", key, [.init("generation", .generation(grant.generation))])
    if let left = grant.timeLeft { members.append(.init("left", .seconds(left))) }
    if hasSlots { members.append(.init("slot", .number(grant.slot))) }
    try invocation.print(members)
}
