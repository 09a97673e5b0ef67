internal import FlockCache

// Commands: one file a command: what it is called and takes, what its help says, and what it does.
//
// Uses all that is below: Running for a COMMAND, World for the store and whose claim it is,
// Arguments for what was asked, Report for what is told; and the library's operations, which do the
// work. No command knows another, nor the table of all (`../Commands.swift`): what several need
// stands in a file that is named after it here (`ValueReport`, `LeaseRequests`), or below.

extension Verb {
    static let abandon = Verb(
        name: "abandon", group: .once, summary: "Give up a claim.",
        operands: ["KEY"],
        options: [.generation, .owner, .encoded],
        detail: """
            One waiter, if there is one, gets the claim next. A published value is never touched. Without --generation only a claim of the calling program, or one made with --owner none, is given up, so that it is safe in a trap.
            """,
        exits: """
            0 given up; also if there was no claim of yours
            76 the claim has another generation than G
            """,
        example: """
            flock-cache abandon --generation "$out" -- "$hash"
            trap 'flock-cache abandon -- "$hash"' EXIT
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
