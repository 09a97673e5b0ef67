internal import FlockCache
internal import SystemCalls

extension Verb {
    static let reap = Verb(
        name: "reap", group: .maintain,
        summary: "Remove stale claims and debris; on request, old values.",
        operands: [],
        options: [.assumeDeadAfter, .reapMaxAge, .maxEntries, .maxBytes, .dryRun],
        detail: """
            Each line is KEY and REASON, separated by a tab; it is silent if nothing was removed. REASON is dead-process or dead-session (the holder has ended), rebooted, expired (--stale-after is over), assumed-dead, torn (half-written by a killed process), too-old or evicted. Values are removed only with --max-age, --max-entries or --max-bytes, the least recently used first.

            Safe at any time, twice at once, and to be killed.
            """,
        exits: """
            0 done
            74 something could not be removed; it is named, and the rest was done
            """,
        example: """
            flock-cache reap --max-age 30d --max-bytes 2G
            flock-cache reap --dry-run
            """,
        run: runReap)
}

@Sendable private func runReap(_ invocation: Invocation) throws(Failure) -> ExitCode {
    try invocation.tellIfThereIsNoStore()
    let store = try invocation.openStore()
    var limits = Store.ReapLimits()
    limits.assumeDeadAfter = invocation.duration(.assumeDeadAfter)
    limits.maxAge = invocation.duration(.reapMaxAge)
    limits.maxEntries = invocation.count(.maxEntries)
    limits.maxBytes = invocation.size(.maxBytes)
    var results = invocation.results
    var failure: Failure?
    let isJSON = invocation.has(.json)
    let progress = Progress(invocation, "entries removed")
    var count = 0
    let request = ReapRequest(limits, dryRun: invocation.has(.dryRun)) { reaped in
        let reason = name(of: reaped.reason)
        let members = JSON.members(of: reaped.key) + [.init("reason", .text(reason))]
        do throws(Failure) {
            try results.line(isJSON ? JSON.line(members) : "\(reaped.key)\t\(reason)")
        } catch {
            failure = failure ?? error
        }
        count += 1
        progress.step(count, 0)
        Process.unblockTermination()
    }
    let outcome = Result { () throws(StoreError) in try store.session.reapAll(request) }
    progress.end()
    // What was removed is said, also when something went wrong later.
    try results.flush()
    if let failure { throw failure }
    try failing { () throws(StoreError) in try outcome.get() }
    return .yes
}

private func name(of reason: Store.Reaped.Reason) -> String {
    switch reason {
    case .deadProcess: "dead-process"
    case .deadSession: "dead-session"
    case .rebooted: "rebooted"
    case .expired: "expired"
    case .assumedDead: "assumed-dead"
    case .torn: "torn"
    case .tooOld: "too-old"
    case .evicted: "evicted"
    @unknown default: "unknown"
    }
}
