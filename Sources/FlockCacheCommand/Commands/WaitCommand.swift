internal import FlockCache

extension Verb {
    static let wait = Verb(
        name: "wait", group: .once, summary: "Wait until a key is ready, and print its value.",
        operands: ["KEY"],
        options: [.valueWait, .noWait, .alsoAbsent, .encoded],
        detail: """
            Never computes or takes over a claim. Waits 300s unless -w or FLOCK_CACHE_WAIT says otherwise.
            """,
        exits: """
            0 ready: the value is printed
            1 no value, and no process at work on one: never claimed, given up, or its owner has exited and none took over within a second
            65 corrupt: the record was quarantined
            75 pending, with -n
            124 timed out
            """,
        example: """
            flock-cache wait -w 10m -- "$hash"
            """,
        run: runWait)
}

@Sendable private func runWait(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = try invocation.waitByDefault()
    let notice = WaitNotice(invocation, key, wait, in: store)
    let outcome = try failing { () throws(StoreError) in
        try store.session.wait(
            for: key, waiting: wait.limit,
            alsoAbsent: invocation.has(.alsoAbsent), whileWaiting: notice.look)
    }
    switch outcome {
    case .ready(let ready):
        try invocation.report(ready, of: key)
        return .yes
    case .absent:
        if invocation.has(.json) {
            try ignoringClosedPipe { () throws(Failure) in
                try invocation.print(JSON.members("absent", key))
            }
        }
        return .no
    case .damaged: return .damaged
    case .timedOut(let holder):
        _ = try invocation.busy(
            .key(key), holder, wait, state: holder == nil ? "absent" : "pending")
        return wait.end
    }
}
