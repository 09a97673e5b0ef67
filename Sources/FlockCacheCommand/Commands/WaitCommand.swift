internal import FlockCache

extension Verb {
    static let wait = Verb(
        name: "wait", summary: "Wait until a key is READY, and print its value.",
        operands: ["KEY"], options: [.wait, .noWait, .alsoAbsent],
        detail: """
            Exit 0 with the value; 1 when the key is absent, was given up, or its owner died and
            nobody took over within a second; 65 when the value was damaged; 124 when the wait ended
            (after 300 s, what FLOCK_CACHE_WAIT says, or -w), 75 with -n. It never takes over.
            """,
        example: "flock-cache wait -w 10m -- \"$hash\"",
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
            key, holder, wait, state: holder == nil ? "absent" : "pending",
            holder.map { Phrases.pending(key, $0) } ?? Phrases.notBegun(key))
        return wait.end
    }
}
