internal import FlockCache

extension Verb {
    static let claim = Verb(
        name: "claim", summary: "Win a key, or get its value, or learn who is at it.",
        operands: ["KEY"],
        options: [.wait, .noWait, .maxAge, .staleAfter, .owner],
        detail: """
            Won: prints the claim's generation, exit 0; produce the value, then finalize.
            Ready: prints the value, exit 1. Somebody else is at it: exit 75.
            With -w it waits for that to end first; exit 124 when the wait ends before.
            The claim belongs to the calling program, and may be taken over when that ends.
            """,
        example: """
            rc=0; out=$(flock-cache claim -- "$hash") || rc=$?
            """,
        run: runClaim)
}

@Sendable private func runClaim(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = invocation.waitIfTold()
    switch try claim(key, wait, in: store, invocation) {
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
            key, holder, wait, state: "pending", Phrases.pending(key, holder))
        return wait.end
    }
}

private func claim(
    _ key: Store.Key, _ wait: Wait, in store: Store, _ invocation: Invocation
) throws(Failure) -> ClaimOutcome {
    let owner = try invocation.claimOwner()
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
