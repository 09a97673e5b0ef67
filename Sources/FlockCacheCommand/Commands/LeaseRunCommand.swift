internal import FlockCache
internal import SystemCalls

extension Verb {
    static let leaseRun = Verb(
        name: "lease run", summary: "Run a command while it is the one in charge.",
        operands: ["NAME"],
        options: [
            .neededTimeToLive, .leaseWait, .noWait, .conflictCode, .leaseSlots, .killAfter,
            .dieWithParent,
        ],
        detail: """
            Acquires the lease, renews it at a third of its time to live, and runs COMMAND, which
            sees FLOCK_CACHE_GENERATION; ends as COMMAND did, and releases the lease then. When the
            lease is lost COMMAND gets TERM, and KILL after --kill-after; exit 76. When this process
            is killed COMMAND is killed too, and the lease runs out.
            Exit 124 when the wait ended (after 300 s, what FLOCK_CACHE_WAIT says, or -w), 75 with -n;
            126 and 127 when COMMAND cannot be run; 125 for failures of its own.
            """,
        example: "flock-cache lease run primary --ttl 30s -w forever -- ./serve",
        runCommand: runLeaseRun)
}

@Sendable private func runLeaseRun(_ invocation: Invocation) throws(Failure) -> Int32 {
    guard let timeToLive = invocation.duration(.timeToLive) else {
        throw .usage("lease run needs --ttl D: for how long the lease lasts when it is not renewed")
    }
    var request = try invocation.leaseRequest()
    request.setHolder(Process.id, CommandRun.programName(invocation.command[0]))
    try invocation.endWithParentIfAsked()
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = try invocation.waitByDefault()
    for _ in 0..<Limits.leaseTries {
        switch try acquire(
            key, request, wait, in: store, invocation, refusing: .circles(of: .lease))
        {
        case .busy(let holder):
            return try invocation.busy(key, holder, wait, Phrases.leased(key, holder))
        case .granted(let grant):
            guard grant.timeLeft ?? .zero > .zero else {
                // This process was stopped since, or the machine suspended. Where it cannot be released, it is over.
                try? store.session.releaseLease(key, grant.generation)
                continue
            }
            var tenure = Tenure(
                store, key, grant, timeToLive,
                killAfter: invocation.duration(.killAfter) ?? OptionDefault.killAfter)
            return try tenure.run(invocation)
        }
    }
    throw Failure(.leaseOver(key))
}
