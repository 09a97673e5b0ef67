internal import FlockCache

extension Verb {
    static let renew = Verb(
        name: "renew", group: .once, summary: "Restart the --stale-after time of a claim.",
        operands: ["KEY"],
        options: [.neededGeneration, .encoded],
        detail: """
            For work that takes longer than the --stale-after of its claim. Renewing also succeeds after that time, as long as no other process has taken the claim over. A claim without --stale-after needs no renewal.
            """,
        exits: """
            0 renewed, or nothing to renew
            76 lost: the claim is another process's, was published or given up, or its owner has exited
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
