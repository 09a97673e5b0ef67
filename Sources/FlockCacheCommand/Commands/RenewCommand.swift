internal import FlockCache

extension Verb {
    static let renew = Verb(
        name: "renew", summary: "Begin the --stale-after of a claim again.",
        operands: ["KEY"], options: [.generation],
        detail: """
            For work that lasts longer than the --stale-after of its claim: renew it before that time
            is over. Exit 0, also when it is over and no other process has taken the claim over; a
            claim without --stale-after needs no renewal. Exit 76 when the claim is another's by now,
            was given up or published, or its owner has exited: nothing has changed.
            """,
        example: """
            flock-cache renew --generation "$out" -- "$hash" || exit
            """,
        run: runRenew)
}

@Sendable private func runRenew(_ invocation: Invocation) throws(Failure) -> ExitCode {
    guard let generation = invocation.number(.generation) else {
        throw .usage("--generation is needed: the number that claim printed")
    }
    let store = try invocation.openStore()
    let key = invocation.key()
    _ = try failing { () throws(StoreError) in try store.session.renew(key, generation) }
    return .yes
}
