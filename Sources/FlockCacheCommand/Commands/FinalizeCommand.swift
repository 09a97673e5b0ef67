internal import FlockCache

extension Verb {
    static let finalize = Verb(
        name: "finalize", group: .once, summary: "Publish the value of a claimed key.",
        operands: ["KEY", "[VALUE]"],
        options: [.generation, .file, .owner, .encoded],
        detail: """
            Publishing is atomic: readers see no value or the complete one. Without --generation the claim must belong to the calling program, or have been made with --owner none. VALUE is taken literally; use --file for contents of a file or of standard input.
            """,
        exits: """
            0 published, now or before by the same claim
            76 lost: the claim is another process's, or gone; nothing changed
            """,
        example: """
            flock-cache finalize --generation "$out" -- "$hash" "$id"
            make-report | flock-cache finalize "$key" --file -
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
