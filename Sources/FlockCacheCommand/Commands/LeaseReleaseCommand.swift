internal import FlockCache

extension Verb {
    static let leaseRelease = Verb(
        name: "lease release", group: .leases, summary: "Release a lease.",
        operands: ["NAME"],
        options: [.leaseGeneration, .force, .leaseSlot, .encoded],
        detail: """
            Either --generation or --force is required. --force ends the lease of another process and says whose it was. A lease run learns it within a second (on a network file system at its next renewal) and ends its COMMAND. Other holders learn it at their next renewal, check or release. Where several slots are taken, name one with --slot.
            """,
        exits: """
            0 released, now or before; with --force also if the lease was free
            76 lost: it was ended by force, or another process has acquired it since
            """,
        example: """
            flock-cache lease release primary --generation "$g"
            flock-cache lease release primary --force
            """,
        run: runRelease)
}

@Sendable private func runRelease(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.has(.force) { return try endByForce(invocation) }
    if invocation.has(.leaseSlot) {
        throw .usage("--slot goes with --force: a generation tells which slot it is")
    }
    let (store, key, generation) = try invocation.leaseNamed(
        orElse: "; --force ends the lease of any process")
    try failing { () throws(StoreError) in try store.session.releaseLease(key, generation) }
    return .yes
}

private func endByForce(_ invocation: Invocation) throws(Failure) -> ExitCode {
    guard !invocation.has(.leaseGeneration) else {
        throw .usage("lease release takes --generation or --force, not both")
    }
    let slot = invocation.count(.leaseSlot)
    if let slot, slot >= Limits.slots {
        throw .usage("--slot takes 0 to \(Limits.slots - 1), not \(slot)")
    }
    let store = try invocation.openStore()
    let key = invocation.key()
    let outcome = try failing { () throws(StoreError) in
        try store.session.endLease(key, slot: slot)
    }
    switch outcome {
    case .several(let slots):
        let names = slots.prefix(8).map(String.init).joined(separator: " ")
        throw .usage(
            "\(slots.count) slots of the lease '\(key)' are taken (\(names)\(slots.count > 8 ? " …" : "")); "
                + "name one with --slot")
    case .ended(let ended):
        invocation.words.say(Phrases.ended(key, ended?.holder, wasTaken: ended != nil))
        if invocation.has(.json) { try invocation.print(members(of: ended, key)) }
        return .yes
    }
}

private func members(of ended: EndedLease?, _ key: Store.Key) -> [JSON.Member] {
    guard let ended else { return JSON.members("free", key) }
    var members = JSON.members("released", key, [.init("slot", .number(ended.slot))])
    if let generation = ended.generation {
        members.append(.init("generation", .generation(generation)))
    }
    if let holder = ended.holder { members.append(.init("holder", JSON.holder(holder))) }
    return members
}
