internal import FlockCache

// Commands: one file a command: what it is called and takes, what its help says, and what it does.
//
// Uses all that is below: Running for a COMMAND, World for the store and whose claim it is,
// Arguments for what was asked, Report for what is told; and the library's operations, which do the
// work. No command knows another, nor the table of all (`../Commands.swift`): what several need
// stands in a file that is named after it here (`ValueReport`, `LeaseRequests`), or below.

extension Verb {
    static let abandon = Verb(
        name: "abandon", summary: "Give a claim up.",
        operands: ["KEY"], options: [.generation, .owner],
        detail: """
            Exit 0, also when there is nothing of yours to give up. A value is never touched.
            Exit 76 when --generation is given and the claim has another.
            """,
        example: """
            flock-cache abandon --generation "$out" -- "$hash"
            """,
        run: runAbandon)
}

@Sendable private func runAbandon(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let right = try invocation.claimRight()
    let wasGivenUp = try failing { () throws(StoreError) in
        try store.session.abandon(key, by: right)
    }
    if invocation.words.isVerbose && !wasGivenUp {
        invocation.words.say(Phrases.nothingToGiveUp(key))
    }
    return .yes
}
