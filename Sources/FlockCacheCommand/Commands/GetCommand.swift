internal import FlockCache

extension Verb {
    static let get = Verb(
        name: "get", group: .once, summary: "Print the value of a key.",
        operands: ["KEY"],
        options: [.maxAge, .encoded],
        detail: """
            Reads without waiting. With --json, the result has the generation (fencing token) and the age as well, and absent and pending keys are results too.
            """,
        exits: """
            0 ready: the value is printed
            1 absent, or older than --max-age
            65 corrupt: the record was quarantined, and the key is absent now
            75 pending: the value is being computed
            """,
        example: """
            flock-cache get -- "$hash"
            """,
        run: runGet)
}

@Sendable private func runGet(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let maxAge = invocation.duration(.maxAge)
    let outcome = try failing { () throws(StoreError) in
        try store.session.get(key, maxAge: maxAge)
    }
    switch outcome {
    case .ready(let ready):
        try invocation.report(ready, of: key)
        return .yes
    case .absent:
        if invocation.has(.json) { try invocation.print(JSON.members("absent", key)) }
        return .no
    case .damaged: return .damaged
    case .pending(let holder):
        try invocation.reportPending(key, holder)
        return .notNow
    }
}
