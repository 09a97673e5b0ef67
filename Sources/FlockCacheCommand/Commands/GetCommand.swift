internal import FlockCache

extension Verb {
    static let get = Verb(
        name: "get", summary: "Print the value of a key.", operands: ["KEY"],
        options: [.maxAge],
        detail: """
            Exit 0 with the value; 1 when it is absent, or older than --max-age; 75 when it is
            being produced; 65 once when it was damaged: then it is set aside, and absent.
            """,
        example: "flock-cache get -- \"$hash\"",
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
    case .absent: return .no
    case .damaged: return .damaged
    case .pending(let holder):
        invocation.words.say(Phrases.pendingOrDead(key, holder))
        return .notNow
    }
}
