internal import FlockCache

extension Verb {
    static let leaseRelease = Verb(
        name: "lease release", summary: "Give a lease back.",
        operands: ["NAME"], options: [.leaseGeneration],
        detail: "Exit 0, also the second time; 76 when somebody else has it by now.",
        example: "flock-cache lease release primary --generation \"$g\"",
        run: runRelease)
}

@Sendable private func runRelease(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try invocation.leaseNamed()
    try failing { () throws(StoreError) in try store.session.releaseLease(key, generation) }
    return .yes
}
