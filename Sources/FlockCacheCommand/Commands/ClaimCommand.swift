internal import FlockCache

extension Verb {
    static let claim = Verb(
        name: "claim", group: .once, summary: "Claim a key, or print its value if it is ready.",
        operands: ["KEY"],
        options: [.wait, .noWait, .maxAge, .staleAfter, .owner, .encoded],
        detail: """
            Of all processes that claim a key, one wins. The winner computes the value and publishes it with 'flock-cache finalize', or gives up with 'flock-cache abandon'.

            The claim belongs to the calling program (in a script, the script) and can be taken over as soon as that program has exited. With -w, claim waits until a pending claim ends. A value older than --max-age does not count: it is claimed again, and stays readable until the new value is published.
            """,
        exits: """
            0 won: the generation (fencing token) of the claim is printed
            1 ready: the value is printed
            75 pending: another process holds the claim
            78 the owner cannot be determined: name it with --owner
            124 timed out: the claim was still pending after -w D
            """,
        example: """
            rc=0; out=$(flock-cache claim -w 10m -- "$hash") || rc=$?
            flock-cache claim --owner none --stale-after 1h -- "$hash"
            """,
        run: runClaim)
}

@Sendable private func runClaim(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = invocation.waitIfTold()
    let owner = try invocation.claimOwner()
    switch try claim(key, for: owner, wait, in: store, invocation) {
    case .won(let generation, let former):
        if let former { invocation.words.say(Phrases.takenOver(key, from: former)) }
        try tellWin(generation, of: key, former, in: store, invocation)
        return .yes
    case .ready(let ready):
        try ignoringClosedPipe { () throws(Failure) in
            try invocation.report(ready, of: key)
        }
        return .no
    case .pending(let holder):
        _ = try invocation.busy(
            .key(key), holder, wait, state: "pending",
            // A number of another container is another process's.
            isOwn: holder.liveness == .alive && holder.processID != nil
                && holder.processID == owner.processID)
        return wait.end
    }
}

private func claim(
    _ key: Store.Key, for owner: ClaimOwner, _ wait: Wait, in store: Store,
    _ invocation: Invocation
) throws(Failure) -> ClaimOutcome {
    let notice = WaitNotice(invocation, key, wait, in: store, owner: owner)
    let (maxAge, staleAfter) = (invocation.duration(.maxAge), invocation.duration(.staleAfter))
    return try failing { () throws(StoreError) in
        guard invocation.has(.wait) || invocation.has(.noWait) else {
            return try store.session.claim(
                key, for: owner, maxAge: maxAge, staleAfter: staleAfter)
        }
        return try store.session.claim(
            key, for: owner, maxAge: maxAge, staleAfter: staleAfter,
            waiting: wait.limit, whilePending: notice.look)
    }
}

/// Prints the generation of a claim that was won; gives the claim up where that fails.
private func tellWin(
    _ generation: Store.Generation, of key: Store.Key, _ former: Holder?, in store: Store,
    _ invocation: Invocation
) throws(Failure) {
    do throws(Failure) {
        guard invocation.has(.json) else { return try invocation.print(String(generation)) }
        var members = JSON.members("won", key, [.init("generation", .generation(generation))])
        if let former { members.append(.init("taken-over-from", JSON.holder(former))) }
        try invocation.print(members)
    } catch {
        // Nobody learnt of the win, so nobody would ever finalize it.
        let isGivenUp = (try? store.session.abandon(key, by: .generation(generation))) != nil
        let fate =
            isGivenUp
            ? "the claim was given up"
            : "the claim could not be given up: abandon --generation \(generation)"
        throw Failure(error.code, error.message + "; " + fate)
    }
}
