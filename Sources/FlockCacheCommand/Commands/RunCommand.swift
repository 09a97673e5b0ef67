internal import FlockCache

extension Verb {
    static let run = Verb(
        name: "run", group: .once, summary: "Run a command once and share its output.",
        operands: ["KEY"],
        options: [
            .runWait, .noWait, .maxAge, .runStaleAfter, .outputWait, .conflictCode, .killAfter,
            .dieWithParent, .fallback, .encoded,
        ],
        detail: """
            If the value of KEY is ready, it is printed. Otherwise the first process runs COMMAND, whose standard output becomes the value; the others wait and print the same value.

            If COMMAND fails, its output and exit code are passed on, nothing is published, and one waiter runs its own COMMAND. If this process is killed, COMMAND is killed too, and one waiter takes over. Waiting for others ends after 300s, unless -w or FLOCK_CACHE_WAIT says otherwise; the time of COMMAND is not limited, use 'timeout' for that.

            In a crontab '%' ends the line: write \\% in its place.

            With --stale-after D others take over when this process has not renewed its claim for D, for example because it is stopped. It renews three times in each D.

            As with $(...), run waits until every process that has COMMAND's output open has closed it; the value is complete then.

            On NFS, a host that is out of contact for longer than the lease time of the NFS server loses its claim; COMMAND then gets TERM, and KILL after --kill-after.

            With --fallback, where the store cannot be used at all (full, read-only, no permission), COMMAND runs without the cache, with a warning.
            """,
        exits: """
            0 the value is printed
            N COMMAND failed: its exit code, or the signal that ended it
            75 pending, with -n
            76 lost: another process took over the claim (--stale-after), or the server took it back
            124 timed out waiting for another process's COMMAND
            125 flock-cache itself failed
            126 COMMAND cannot be executed
            127 COMMAND was not found
            """,
        example: """
            flock-cache run "report-$(date +%F)" -- ./make-report
            flock-cache run --max-age 1h weather -- curl -fsS https://example.org/weather
            """,
        runCommand: runRun)
}

@Sendable private func runRun(_ invocation: Invocation) throws(Failure) -> Int32 {
    try invocation.endWithParentIfAsked()
    guard invocation.duration(.runStaleAfter) != .zero else {
        throw .usage("--stale-after takes a time above 0")
    }
    let wait = try invocation.waitByDefault()
    let store: Store
    let outcome: ClaimOutcome
    do throws(Failure) {
        store = try invocation.openStore()
        outcome = try claim(wait, in: store, invocation)
    } catch {
        guard invocation.has(.fallback), error.meansNoStore else { throw error }
        invocation.words.warn("running COMMAND uncached (--fallback): \(error.message)")
        let request = invocation.request(invocation.environment.variables())
        return invocation.end(as: try CommandRun.run(request, before: nil))
    }
    return try run(outcome, wait, in: store, invocation)
}

private func claim(
    _ wait: Wait, in store: Store, _ invocation: Invocation
) throws(Failure) -> ClaimOutcome {
    let key = invocation.key()
    let notice = WaitNotice(
        invocation, key, wait, in: store, refusing: .circles(of: .computation))
    defer { notice.tellEnd() }
    return try failing { () throws(StoreError) in
        try store.session.claim(
            key, for: .session, maxAge: invocation.duration(.maxAge),
            staleAfter: invocation.duration(.runStaleAfter),
            waiting: wait.limit, whilePending: notice.look)
    }
}

private func run(
    _ outcome: ClaimOutcome, _ wait: Wait, in store: Store, _ invocation: Invocation
) throws(Failure) -> Int32 {
    let key = invocation.key()
    switch outcome {
    case .ready(let ready):
        var results = invocation.results
        try results.value(ready)
        return ExitCode.yes.rawValue
    case .pending(let holder):
        return try invocation.busy(
            .key(key), holder, wait, state: "pending")
    case .won(let generation, let former):
        if let former {
            invocation.words.say(Phrases.takenOver(key, from: former))
            CommandRun.waitForEnd(of: former.processID)
        }
        return try Computation(
            invocation, store, key, generation, staleAfter: invocation.duration(.runStaleAfter)
        ).run()
    }
}

extension Failure {
    /// Whether there is no store that could be used; then nothing has begun.
    fileprivate var meansNoStore: Bool {
        guard storeError?.code != .wouldDeadlock else { return false }
        switch code {
        case .notAStore, .unsupported, .cannotCreate, .inputOutput, .noPermission, .configuration:
            return true
        default: return false
        }
    }
}
