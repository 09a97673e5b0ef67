internal import FlockCache

extension Verb {
    static let leaseCheck = Verb(
        name: "lease check", group: .leases, summary: "Check whether a lease is still held.",
        operands: ["NAME"],
        options: [.neededLeaseGeneration, .encoded],
        detail: """
            Between the answer and what follows there is a moment in which the lease may expire. A resource that compares generations has no such gap.
            """,
        exits: """
            0 the generation is current and has not expired
            76 it was never granted, or expired, was released or was replaced
            """,
        example: """
            flock-cache lease check primary --generation "$g" && ./write
            """,
        run: runCheck)
}

@Sendable private func runCheck(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try invocation.leaseNamed()
    let isCurrent = try failing { () throws(StoreError) in
        try store.session.checkLease(key, generation)
    }
    guard isCurrent else { throw Failure(.lost, Phrases.notCurrent(generation, of: key)) }
    return .yes
}
