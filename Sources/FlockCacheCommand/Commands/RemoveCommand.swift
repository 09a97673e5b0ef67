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
        let outcome = try failing { () throws(StoreError) in
            try store.session.remove(key, includingPending: includingPending)
        }
        Process.unblockTermination()
        if case .pending(let holder) = outcome {
            try invocation.reportPending(key, holder, Phrases.notRemoved(key, holder))
            code = .notNow
        }
    }
    return code
}
