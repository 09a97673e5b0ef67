internal import FlockCache

extension Verb {
    static let leaseCheck = Verb(
        name: "lease check", summary: "Tell whether a generation is still in charge.",
        operands: ["NAME"], options: [.leaseGeneration],
        detail: "Exit 0 while the generation is the current one and its time is not over; 76 else.",
        example: "flock-cache lease check primary --generation \"$g\" && write-it",
        run: runCheck)
}

@Sendable private func runCheck(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let (store, key, generation) = try invocation.leaseNamed()
    let isCurrent = try failing { () throws(StoreError) in
        try store.session.checkLease(key, generation)
    }
    if !isCurrent { invocation.words.warn(Phrases.notInCharge(generation, of: key)) }
    return isCurrent ? .yes : .lost
}
