internal import FlockCache

extension Verb {
    static let increment = Verb(
        name: "increment", group: .values, summary: "Add to a number, atomically.",
        operands: ["KEY", "[N]"],
        options: [.minimum, .maximum, .encoded],
        takesNumbers: true,
        detail: """
            The value is a decimal number of 64 bits. N is 1 by default and may be negative. An absent key counts as 0. Any number of processes may count at once; no increment is lost.
            """,
        exits: """
            0 counted: the new number is printed
            1 the result would be outside --min, --max or 64 bits: the current number is printed, nothing changed
            65 the value is not a number, or is corrupt
            75 pending: the value is being computed
            """,
        example: """
            flock-cache increment views
            flock-cache increment --max 60 permits >/dev/null || echo "none left"
            """,
        run: runIncrement)
}

@Sendable private func runIncrement(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let key = invocation.key()
    let amount = try invocation.amount()
    let range = try invocation.range()
    let store = try invocation.openStore()
    let outcome = try failing { () throws(StoreError) in
        try store.session.increment(key, by: amount, within: range)
    }
    switch outcome {
    case .counted(let number, let generation):
        try telling("it was counted all the same, to \(number)") { () throws(Failure) in
            try invocation.report("ready", number, generation, of: key)
        }
        return .yes
    case .outOfRange(let number):
        try ignoringClosedPipe { () throws(Failure) in
            try invocation.report("unchanged", number, nil, of: key)
        }
        return .no
    case .pending(let holder):
        try invocation.reportPending(key, holder, Phrases.notChanged(key, holder))
        return .notNow
    }
}

extension Invocation {
    fileprivate func amount() throws(Failure) -> Int64 {
        guard operands.count > 1 else { return 1 }
        guard let amount = Int64(argument: operands[1]) else {
            throw .usage(
                "increment adds a whole number of 64 bits such as 5 or -5, not '\(shown(operands[1]))'"
            )
        }
        return amount
    }

    fileprivate func range() throws(Failure) -> ClosedRange<Int64> {
        let (least, most) = (integer(.minimum) ?? .min, integer(.maximum) ?? .max)
        guard least <= most else {
            throw .usage("--min \(least) is above --max \(most): no number is in between")
        }
        return least...most
    }

    /// Prints a number; as JSON it is the text that the value is, because readers of JSON numbers round what has
    /// more than 53 bits.
    fileprivate func report(
        _ state: String, _ number: Int64, _ generation: Store.Generation?, of key: Store.Key
    ) throws(Failure) {
        guard has(.json) else { return try print(String(number)) }
        var members: [JSON.Member] = []
        if let generation { members.append(.init("generation", .generation(generation))) }
        members.append(.init("encoding", .text("utf-8")))
        members.append(.init("value", .text(String(number))))
        try print(JSON.members(state, key, members))
    }
}
