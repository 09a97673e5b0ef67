internal import FlockCache
internal import SystemCalls

extension Verb {
    static let remove = Verb(
        name: "remove", group: .values, summary: "Delete the values of keys.",
        operands: ["KEY…"],
        options: [.pendingToo, .encoded],
        detail: """
            Absent keys are no error. A key that is being computed is left as it is, unless --pending is given.
            """,
        exits: """
            0 removed, or absent
            75 at least one key is pending and was left
            """,
        example: """
            flock-cache remove -- "$hash"
            flock-cache list --ready -0 | xargs -0 flock-cache remove --
            """,
        run: runRemove)
}

@Sendable private func runRemove(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let includingPending = invocation.has(.pendingToo)
    var code = ExitCode.yes
    for index in invocation.operands.indices {
        let key = invocation.key(index)
        // Before it is gone: who goes on working on it.
        let former = includingPending ? try holder(of: key, in: store) : nil
        let outcome = try failing { () throws(StoreError) in
            try store.session.remove(key, includingPending: includingPending)
        }
        if case .removed = outcome, let former {
            // Whose it is does not matter where that cannot be told.
            let caller = try? CallingProgram.find()
            let isOwn = former.processID != nil && former.processID == caller?.identity.id
            invocation.words.say(Phrases.removedClaim(key, former, isOwn: isOwn))
        }
        Process.unblockTermination()
        if case .pending(let holder) = outcome {
            try invocation.reportPending(key, holder, Phrases.notRemoved(key, holder))
            code = .notNow
        }
    }
    return code
}

/// The live holder of a claim.
private func holder(of key: Store.Key, in store: Store) throws(Failure) -> Holder? {
    let holdings = try failing { () throws(StoreError) in try store.session.holdings(of: key) }
    return holdings.first { $0.kind == .claim && $0.holder?.liveness == .alive }?.holder
}
