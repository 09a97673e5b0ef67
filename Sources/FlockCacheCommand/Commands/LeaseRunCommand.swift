internal import FlockCache
internal import SystemCalls

extension Verb {
    static let leaseRun = Verb(
        name: "lease run", group: .leases, summary: "Run a command while holding a lease.",
        operands: ["NAME"],
        options: [
            .neededTimeToLive, .leaseRunWait, .noWait, .conflictCode, .leaseRunSlots, .killAfter,
            .dieWithParent, .encoded,
        ],
        detail: """
            Acquires the lease, renews it at a third of its time to live, runs COMMAND with FLOCK_CACHE_GENERATION set, releases the lease when COMMAND has exited, and exits as COMMAND did. If the lease is lost, COMMAND gets TERM, and KILL after --kill-after. If flock-cache is killed, COMMAND is killed and the lease expires. If flock-cache is stopped, COMMAND gets TERM half a second after the lease has expired, and KILL after --kill-after. Until it ends, both commands run; the next holder's has the higher FLOCK_CACHE_GENERATION.

            Waits 300s for the lease, in the order of arrival, unless -n, -w or FLOCK_CACHE_WAIT says otherwise. With -w forever this makes a leader with standbys: failover takes at most the time to live.
            """,
        exits: """
            N COMMAND's exit code, or the signal that ended it
            75 busy, with -n
            76 lost: the lease was lost, and COMMAND was ended
            124 timed out
            125 flock-cache itself failed
            126 COMMAND cannot be executed
            127 COMMAND was not found
            """,
        example: """
            flock-cache lease run primary --ttl 10s -w forever -- ./serve
            """,
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
            return try invocation.busy(.lease(key), holder, wait)
        case .granted(let grant):
            guard grant.timeLeft ?? .zero > .zero else {
                // This process was stopped since, or the machine suspended. Where it cannot be released, it is over.
                try? store.session.releaseLease(key, grant.generation)
                continue
            }
            let tenure = Tenure(
                store, key, grant, timeToLive,
                killAfter: invocation.killAfter)
            return try tenure.run(invocation)
        }
    }
    throw Failure(.leaseOver(key))
}
