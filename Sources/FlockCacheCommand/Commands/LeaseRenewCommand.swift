internal import FlockCache

extension Verb {
    static let leaseRenew = Verb(
        name: "lease renew", summary: "Begin a lease's time to live anew.",
        operands: ["NAME"], options: [.leaseGeneration],
        detail: """
            Exit 0, also after its time is over, as long as nobody else has got it. Exit 76 when
            somebody else has, or it was released.
            """,
        example: "flock-cache lease renew primary --generation \"$g\" || exit",
        run: runRenew)
}

@Sendable private func runRenew(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try invocation.leaseNamed()
    _ = try failing { () throws(StoreError) in try store.session.renewLease(key, generation) }
    return .yes
}
