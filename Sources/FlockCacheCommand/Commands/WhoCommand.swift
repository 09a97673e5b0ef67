internal import FlockCache
internal import SystemCalls

extension Verb {
    static let who = Verb(
        name: "who", group: .inspect, summary: "Show what is held, and by which process.",
        operands: ["[KEY]"],
        options: [.again, .encoded],
        detail: """
            Shows every lock, claim and lease that is held. On a terminal it prints a table, without GENERATION, WAITING and USER where a line has no room for them; elsewhere each line is KIND, KEY, PID, COMMAND, AGE, LEFT, WAITING, GENERATION, USER and STATE, separated by tabs, '-' for unknown.

            KIND is lock, shared, slot-N, claim, lease or lease-N, where N is a slot. PID is the holder's; in the table, PID+PID is flock-cache and the COMMAND that it runs. STATE is running, stopped, exited (of claims and leases, whose owner has ended) or unknown. AGE is the time since it was acquired, LEFT the time until it expires; on a pipe both are seconds. Of a shared lock only the newest holder is shown. WAITING is approximate: it may include waiters for another lock. A key of more than 72 bytes may end with '…'. On some file systems it cannot be told which key is locked: a line then has '…' for KEY, and no process; who KEY still says whether KEY is held.
            """,
        exits: """
            0 shown
            1 no running process holds KEY
            """,
        example: """
            flock-cache who deploy
            flock-cache who --watch
            """,
        run: runWho)
}

@Sendable private func runWho(_ invocation: Invocation) throws(Failure) -> ExitCode {
    try invocation.tellIfThereIsNoStore()
    let store = try invocation.openStore()
    let pass = store.session.newPass()
    while true {
        let holdings = try failing { () throws(StoreError) in
            invocation.operands.isEmpty
                ? try store.session.holdings(pass)
                : try store.session.holdings(of: invocation.key())
        }
        try show(holdings, invocation)
        tellOfUnknownKeys(holdings, invocation)
        guard invocation.has(.again) else {
            try failing { () throws(StoreError) in try pass.finish() }
            if invocation.operands.isEmpty { return .yes }
            return holdings.contains { $0.holder?.liveness != .dead } ? .yes : .no
        }
        // Each look is a pass of its own.
        invocation.environment.passedOver?.end(with: nil)
        sleep(nanoseconds: 1_000_000_000)
    }
}

/// Of locks of which nobody has noted the key.
private func tellOfUnknownKeys(_ holdings: [Holding], _ invocation: Invocation) {
    let count = holdings.count { $0.key.bytes.isEmpty }
    guard count > 0 else { return }
    let (locks, keys) = count == 1 ? ("lock is", "key is") : ("locks are", "keys are")
    invocation.words.say(
        "\(count) \(locks) held whose \(keys) not known; ask for a key (who KEY) to see whether it is held"
    )
}

private func show(_ holdings: [Holding], _ invocation: Invocation) throws(Failure) {
    let table = Table(invocation)
    var results = invocation.results
    // Home, and clear what is below: what was there before does not flicker.
    if invocation.has(.again) && table != nil { try results.bytes("\u{1b}[H\u{1b}[J".utf8) }
    if invocation.has(.json) {
        for holding in holdings { try results.line(JSON.line(members(of: holding))) }
    } else if let table {
        if !holdings.isEmpty || invocation.has(.again) {
            for line in aligned(holdings, in: table) { try results.line(line) }
        }
    } else {
        for holding in holdings {
            try results.line(fields(of: holding).joined(separator: "\t"))
        }
    }
    try results.flush()
}

/// For people: under headings, sorted by key, ages as they are said.
private func aligned(_ holdings: [Holding], in table: Table) -> [String] {
    let sorted = holdings.sorted {
        $0.key.bytes.lexicographicallyPrecedes($1.key.bytes)
    }
    let heading = [
        "KIND", "KEY", "PID", "COMMAND", "USER", "STATE", "AGE", "LEFT", "WAITING", "GENERATION",
    ]
    let rows = sorted.map(row)
    // What a terminal of 80 columns is too narrow for: the generation first.
    let lines = table.lines([heading] + rows, numbers: [6, 7, 8], sparable: [9, 8, 4])
    return zip(lines, [nil] + sorted.map { Optional($0) }).map { line, holding in
        guard let holding else { return table.colored(line, .bold) }
        let process = holding.holder.flatMap { RunningHolder($0) }
        let isOdd = process?.isStopped == true || holding.holder?.liveness == .dead
        return table.colored(line, isOdd ? .yellow : nil)
    }
}

private func row(of holding: Holding) -> [String] {
    let holder = holding.holder
    let process = holder.flatMap { RunningHolder($0) }
    var id = holder?.processID.map { String($0) } ?? "-"
    if let child = process?.child { id += "+\(child)" }
    if let host = holder?.host { id += "@\(host)" }
    // Age, time left, how many wait.
    let times = [holder?.knownAge?.spoken ?? "-", holding.timeLeft?.spoken ?? "-"]
    let waiters = holding.waiters.map { String($0) } ?? "-"
    let generation = holding.generation.map { String($0) } ?? "-"
    let who = [
        id, process?.command ?? holder?.command ?? "-", process?.user ?? "-",
        state(of: holder, process),
    ]
    return [name(of: holding.kind), keyText(of: holding)] + who + times + [waiters, generation]
}

private func keyText(of holding: Holding) -> String {
    holding.key.description + (holding.isKeyWhole ? "" : "…")
}

private func state(of holder: Holder?, _ process: RunningHolder?) -> String {
    if process?.isStopped == true { return "stopped" }
    return switch holder?.liveness {
    case .alive: "running"
    case .dead: "exited"
    default: "unknown"
    }
}

private func fields(of holding: Holding) -> [String] {
    let holder = holding.holder
    let process = holder.flatMap { RunningHolder($0) }
    return [
        name(of: holding.kind), keyText(of: holding),
        holder?.processID.map { String($0) } ?? "-", process?.command ?? holder?.command ?? "-",
        holder?.knownAge.map { String($0.components.seconds) } ?? "-",
        holding.timeLeft.map { String($0.components.seconds) } ?? "-",
        holding.waiters.map { String($0) } ?? "-",
        holding.generation.map { String($0) } ?? "-",
        process?.user ?? "-", state(of: holder, process),
    ]
}

private func members(of holding: Holding) -> [JSON.Member] {
    var members: [JSON.Member] = [
        .init("kind", .text(name(of: holding.kind)))
    ]
    members += JSON.members(of: holding.key)
    members.append(.init("whole", .truth(holding.isKeyWhole)))
    members.append(.init("holder", holding.holder.map { JSON.holder($0) } ?? .null))
    if let left = holding.timeLeft { members.append(.init("left", .seconds(left))) }
    if let generation = holding.generation {
        members.append(.init("generation", .generation(generation)))
    }
    if let waiters = holding.waiters { members.append(.init("waiting", .number(waiters))) }
    return members
}

private func name(of kind: Holding.Kind) -> String {
    switch kind {
    case .claim: "claim"
    case .lease(0): "lease"
    case .lease(let slot): "lease-\(slot)"
    case .lock(.exclusive): "lock"
    case .lock(.shared): "shared"
    case .lock(.slot(let index)): "slot-\(index)"
    }
}
