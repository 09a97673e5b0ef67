internal import FlockCache

extension Verb {
    static let leaseRenew = Verb(
        name: "lease renew", group: .leases, summary: "Restart the time to live of a lease.",
        operands: ["NAME"],
        options: [.neededLeaseGeneration, .encoded],
        detail: """
            Also succeeds after the lease has expired, as long as no other process has acquired it.
            """,
        exits: """
            0 renewed
            76 lost: the lease was released, ended by force, or acquired by another process
            """,
        example: """
            flock-cache lease renew primary --generation "$g" || exit
            """,
        run: runRenew)
}

@Sendable private func runRenew(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try invocation.leaseNamed()
    _ = try failing { () throws(StoreError) in try store.session.renewLease(key, generation) }
    return .yes
}
