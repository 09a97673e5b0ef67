internal import FlockCache
internal import SystemCalls

extension Verb {
    static let who = Verb(
        name: "who", group: .inspect, summary: "Show what is held, and by which process.",
        operands: ["[KEY]"],
        options: [.again, .encoded],
        detail: """
            Shows every lock, claim and lease that is held. On a terminal it prints a table; elsewhere each line is KIND, KEY, PID, COMMAND, AGE, LEFT, WAITING and GENERATION, separated by tabs, '-' for unknown.

            KIND is lock, shared, slot-N, claim, lease or lease-N, where N is a slot. AGE is the time since it was acquired, LEFT the time until it expires; on a pipe both are seconds. Of the holders of a shared lock, the last one is shown. WAITING is the number of waiters for the lock, or for another one with the same place in the notification file. A key of more than 72 bytes may end with '…'.
            """,
        exits: """
            0 shown
            1 KEY is held by no process
            """,
        example: """
            flock-cache who deploy
            flock-cache who --watch
            """,
        run: runWho)
}

@Sendable private func runWho(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let pass = store.session.newPass()
    while true {
        let holdings = try failing { () throws(StoreError) in
            invocation.operands.isEmpty
                ? try store.session.holdings(pass)
                : try store.session.holdings(of: invocation.key())
        }
        try show(holdings, invocation)
        guard invocation.has(.again) else {
            try failing { () throws(StoreError) in try pass.finish() }
            return holdings.isEmpty && !invocation.operands.isEmpty ? .no : .yes
        }
        // Each look is a pass of its own.
        invocation.environment.passedOver?.end(with: nil)
        sleep(nanoseconds: 1_000_000_000)
    }
}

private func show(_ holdings: [Holding], _ invocation: Invocation) throws(Failure) {
    let isTerminal = Process.isTerminal(invocation.environment.output)
    var results = invocation.results
    // Home, and clear what is below: what was there before does not flicker.
    if invocation.has(.again) && isTerminal { try results.bytes("\u{1b}[H\u{1b}[J".utf8) }
    if invocation.has(.json) {
        for holding in holdings { try results.line(JSON.line(members(of: holding))) }
    } else {
        let rows = holdings.map { fields(of: $0) }
        for line in isTerminal ? aligned(rows) : rows.map({ $0.joined(separator: "\t") }) {
            try results.line(line)
        }
    }
    try results.flush()
}

/// Rows for people: under headings, in columns.
private func aligned(_ rows: [[String]]) -> [String] {
    guard !rows.isEmpty else { return [] }
    let rows = [["KIND", "KEY", "PID", "COMMAND", "AGE", "LEFT", "WAITING", "GENERATION"]] + rows
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
        zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            .joined(separator: "  ")
    }
}

private func fields(of holding: Holding) -> [String] {
    let holder = holding.holder
    return [
        name(of: holding.kind), holding.key.description + (holding.isKeyWhole ? "" : "…"),
        holder?.processID.map { String($0) } ?? "-", holder?.command ?? "-",
        holder.map { String($0.age.components.seconds) } ?? "-",
        holding.timeLeft.map { String($0.components.seconds) } ?? "-",
        holding.waiters.map { String($0) } ?? "-",
        holding.generation.map { String($0) } ?? "-",
    ]
}

private func members(of holding: Holding) -> [JSON.Member] {
    var members: [JSON.Member] = [
        .init("kind", .text(name(of: holding.kind))), .init("key", .text(holding.key.description)),
        .init("whole", .truth(holding.isKeyWhole)),
    ]
    if let holder = holding.holder { members.append(.init("holder", JSON.holder(holder))) }
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
