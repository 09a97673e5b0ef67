internal import FlockCache

extension Verb {
    static let run = Verb(
        name: "run", summary: "Compute a value once: run a command, share its output.",
        operands: ["KEY"],
        options: [
            .wait, .noWait, .maxAge, .runStaleAfter, .outputWait, .conflictCode, .dieWithParent,
        ],
        detail: """
            READY: prints the value. Otherwise the first to ask runs COMMAND, whose standard output
            is the value and is passed on as it comes; the others wait and get it. Exit 0 with it.
            COMMAND fails: its output and exit code are passed on, nothing is published, and one of
            those who wait runs its own. If this process is killed COMMAND is killed too.
            The value is complete when every process that can write to COMMAND's output
            has closed it, as in $(...). If one still holds it 10 s after COMMAND's end
            (--output-wait), nothing is published, and run exits with 125 and names it.
            With --stale-after D the claim may be taken over when this process is stopped or out of
            reach for D; it is renewed at a third of that. Taken over, it exits with 76.
            Exit 124 when the wait for others ended (after 300 s, what FLOCK_CACHE_WAIT says, or -w),
            75 with -n, 126 and 127 when COMMAND cannot be run, 125 for failures of its own.
            """,
        example: "flock-cache run \"report-$(date +%F)\" -- ./make-report --year 2026",
        runCommand: runRun)
}

@Sendable private func runRun(_ invocation: Invocation) throws(Failure) -> Int32 {
    try invocation.endWithParentIfAsked()
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = try invocation.waitByDefault()
    let notice = WaitNotice(
        invocation, key, wait, in: store, refusing: .circles(of: .computation))
    let maxAge = invocation.duration(.maxAge)
    let staleAfter = invocation.duration(.runStaleAfter)
    guard staleAfter != .zero else { throw .usage("--stale-after takes a time above 0") }
    let outcome = try failing { () throws(StoreError) in
        try store.session.claim(
            key, for: .session, maxAge: maxAge, staleAfter: staleAfter,
            waiting: wait.limit, whilePending: notice.look)
    }
    switch outcome {
    case .ready(let ready):
        var results = invocation.results
        try results.value(ready)
        return ExitCode.yes.rawValue
    case .pending(let holder):
        return try invocation.busy(
            key, holder, wait, state: "pending", Phrases.pending(key, holder))
    case .won(let generation, let former):
        if let former {
            invocation.words.say(Phrases.takenOver(key, from: former))
            CommandRun.waitForEnd(of: former.processID)
        }
        return try Computation(invocation, store, key, generation, staleAfter: staleAfter).run()
    }
}
