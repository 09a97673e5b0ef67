internal import FlockCache
internal import SystemCalls

extension Option {
    static let timeToLive = Option(
        name: "ttl", value: .duration, help: "the lease's time to live")
    static let leaseSlots = Option(
        name: "slots", value: .count, help: "up to N holders at once; prints the SLOT too, 0 to N-1"
    )
    static let leaseWait = Option(
        name: "wait", short: "w", value: .wait, help: "wait at most D for the lease")
    fileprivate static let leaseOwner = Option(
        name: "owner", value: .process, help: "the lease ends with this process")
    fileprivate static let leaseGeneration = Option(
        name: "generation", value: .generation, help: "the lease's number, as acquire printed it")
}

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

    static let leaseRenew = Verb(
        name: "lease renew", summary: "Begin a lease's time to live anew.",
        operands: ["NAME"], options: [.leaseGeneration],
        detail: """
            Exit 0, also after its time is over, as long as nobody else has got it. Exit 76 when
            somebody else has, or it was released.
            """,
        example: "flock-cache lease renew primary --generation \"$g\" || exit",
        run: runRenew)

    static let leaseRelease = Verb(
        name: "lease release", summary: "Give a lease back.",
        operands: ["NAME"], options: [.leaseGeneration],
        detail: "Exit 0, also the second time; 76 when somebody else has it by now.",
        example: "flock-cache lease release primary --generation \"$g\"",
        run: runRelease)

    static let leaseCheck = Verb(
        name: "lease check", summary: "Tell whether a generation is still in charge.",
        operands: ["NAME"], options: [.leaseGeneration],
        detail: "Exit 0 while the generation is the current one and its time is not over; 76 else.",
        example: "flock-cache lease check primary --generation \"$g\" && write-it",
        run: runCheck)
}

@Sendable private func runAcquire(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let request = try leaseRequest(invocation)
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = invocation.wait(.wait, none: .noWait)
    switch try acquire(key, request, waiting: wait, in: store, invocation) {
    case .busy(let holder):
        Words(invocation).say(busy(key, holder))
        return wait == nil ? .notNow : .timedOut
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

/// Asks for a lease, saying what is waited for.
func acquire(
    _ key: Store.Key, _ request: LeaseRequest, waiting: WaitArgument?, in store: Store,
    _ invocation: Invocation
) throws(Failure) -> LeaseOutcome {
    let notice = WaitNotice(invocation, key, limit: waiting?.limit)
    return try failing { () throws(StoreError) in
        try store.session.acquireLease(
            key, request, waiting: waiting.map { $0.limit } ?? .zero
        ) { holder, elapsed in notice.lookAtLease(holder, elapsed) }
    }
}

func busy(_ key: Store.Key, _ holder: Holder?) -> String {
    holder.map { "\(key) is leased by \($0)" } ?? "\(key) is leased by somebody else"
}

/// What the options ask for.
func leaseRequest(_ invocation: Invocation) throws(Failure) -> LeaseRequest {
    let timeToLive = invocation.duration(.timeToLive)
    let ownerID = invocation.number(.leaseOwner)
    guard timeToLive != nil || ownerID != nil else {
        throw .usage("a lease needs --ttl, or --owner to end with")
    }
    guard timeToLive != .zero else { throw .usage("--ttl takes a time above 0") }
    let slots = invocation.number(.leaseSlots) ?? 1
    guard let count = Int(exactly: slots), 1...LockName.mostSlots ~= count else {
        throw .usage("--slots takes 1 to \(LockName.mostSlots), not \(slots)")
    }
    guard let ownerID else {
        // For messages only.
        let caller = try? CallingProgram.find()
        return LeaseRequest(
            timeToLive: timeToLive, slots: count,
            processID: caller?.identity.id ?? Process.parent, command: caller?.command ?? [])
    }
    let owner = try CallingProgram.named(ownerID)
    return LeaseRequest(
        timeToLive: timeToLive, owner: owner.identity, slots: count, processID: owner.identity.id,
        command: owner.command)
}

private func report(
    _ grant: LeaseGrant, of key: Store.Key, _ invocation: Invocation
) throws(Failure) {
    var results = Results(invocation.environment)
    let hasSlots = invocation.has(.leaseSlots)
    if invocation.has(.json) {
        var members: [JSON.Member] = [
            .init("state", .text("acquired")), .init("key", .text(key.description)),
            .init("generation", .generation(grant.generation)),
        ]
        if let left = grant.timeLeft { members.append(.init("left", .seconds(left))) }
        if hasSlots { members.append(.init("slot", .number(grant.slot))) }
        try results.line(JSON.line(members))
    } else {
        try results.line("\(grant.generation)" + (hasSlots ? " \(grant.slot)" : ""))
    }
    try results.flush()
}

@Sendable private func runRenew(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try leaseNamed(invocation)
    _ = try failing { () throws(StoreError) in try store.session.renewLease(key, generation) }
    return .yes
}

@Sendable private func runRelease(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try leaseNamed(invocation)
    try failing { () throws(StoreError) in try store.session.releaseLease(key, generation) }
    return .yes
}

@Sendable private func runCheck(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try leaseNamed(invocation)
    let isCurrent = try failing { () throws(StoreError) in
        try store.session.checkLease(key, generation)
    }
    if !isCurrent {
        Words(invocation).warn(
            "generation \(generation) of \(key) is not in charge: its time is over, or another's is"
        )
    }
    return isCurrent ? .yes : .lost
}

private func leaseNamed(
    _ invocation: Invocation
) throws(Failure) -> (Store, Store.Key, Store.Generation) {
    guard let generation = invocation.number(.leaseGeneration) else {
        throw .usage("--generation is needed: the number that lease acquire printed")
    }
    return (try invocation.openStore(), invocation.key(), generation)
}
