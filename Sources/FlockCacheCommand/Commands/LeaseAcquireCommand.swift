internal import FlockCache

extension Verb {
    static let leaseAcquire = Verb(
        name: "lease acquire", summary: "Become the one in charge until a time.",
        operands: ["NAME"],
        options: [.timeToLive, .leaseSlots, .leaseOwner, .leaseWait, .noWait],
        detail: """
            Prints the lease's generation, and with --slots the slot; exit 0. Exit 75 when somebody
            else has it, 124 when the wait of -w ended. It ends when its time to live is over, when
            its --owner ends, or when it is released, whatever comes first. Pass the generation to
            what the lease protects: a number that is lower than one seen comes too late.
            """,
        example: "g=$(flock-cache lease acquire primary --ttl 30s) || exit",
        run: runAcquire)
}

@Sendable private func runAcquire(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let request = try invocation.leaseRequest()
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = invocation.waitIfTold()
    switch try acquire(key, request, wait, in: store, invocation) {
    case .busy(let holder):
        _ = try invocation.busy(key, holder, wait, Phrases.leased(key, holder))
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
