internal import FlockCache

extension Verb {
    static let finalize = Verb(
        name: "finalize", summary: "Publish the value of a claimed key.",
        operands: ["KEY", "[VALUE]"],
        options: [.generation, .file, .owner],
        detail: """
            Exit 0 when it is published, also when it already was from this claim.
            Exit 76 when the claim is not yours (any more): nothing has changed.
            Without --generation it must belong to the calling program, or to nobody.
            """,
        example: """
            flock-cache finalize --generation "$out" -- "$hash" "$id"
            """,
        run: runFinalize)
}

@Sendable private func runFinalize(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let right = try invocation.claimRight()
    let finalized = try invocation.withValue(of: key) { (source) throws(StoreError) in
        try unsafe store.session.finalize(key, by: right, source)
    }
    if finalized.differs {
        invocation.words.say(Phrases.keptValue(of: key, finalized.generation))
    }
    if invocation.has(.json) {
        try invocation.print(
            JSON.members(
                "ready", key, [.init("generation", .generation(finalized.generation))]))
    }
    return .yes
}
