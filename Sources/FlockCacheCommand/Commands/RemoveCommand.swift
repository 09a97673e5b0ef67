internal import FlockCache
internal import SystemCalls

extension Verb {
    static let remove = Verb(
        name: "remove", summary: "Delete the values of keys.",
        operands: ["KEY…"], options: [.pendingToo],
        detail: """
            Exit 0, also for keys that are absent. 75 when one is being produced, which is then
            left as it is; --pending removes claims too.
            """,
        example: "flock-cache remove -- \"$hash\"",
        run: runRemove)
}

@Sendable private func runRemove(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let evenPending = invocation.has(.pendingToo)
    var code = ExitCode.yes
    for index in invocation.operands.indices {
        let key = invocation.key(index)
        let outcome = try failing { () throws(StoreError) in
            try store.session.remove(key, evenPending: evenPending)
        }
        Process.unblockTermination()
        if case .pending(let holder) = outcome {
            invocation.words.say(Phrases.notRemoved(key, holder))
            code = .notNow
        }
    }
    return code
}
