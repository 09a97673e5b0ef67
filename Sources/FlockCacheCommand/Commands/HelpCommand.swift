internal import FlockCache

extension Verb {
    static let helpVerb = Verb(
        name: "help", group: .maintain, summary: "Explain a command or a topic.",
        operands: ["[COMMAND…]"],
        options: [],
        detail: """
            Topics: exit-codes, environment. Without an operand, all commands are listed.
            """,
        exits: """
            0 printed
            64 there is no such command or topic
            """,
        example: """
            flock-cache help lock
            flock-cache help exit-codes
            """,
        run: runHelp)
}

@Sendable private func runHelp(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.operands.count == 1, let topic = Verb.topic(invocation.operands[0]) {
        try invocation.print(topic.text)
    } else {
        try invocation.print(Verb.help(of: invocation.verbsNamed(), among: invocation.verbs))
    }
    return .yes
}

extension Invocation {
    /// The commands that the operands name: one, the parts of one, or without operands all.
    func verbsNamed() throws(Failure) -> [Verb] {
        // A name of two words may also stand as one.
        let name = Array(operands.joined(separator: [UInt8(ascii: " ")]))
        let named = verbs.filter { verb in
            name.isEmpty || verb.name.utf8.elementsEqual(name)
                || verb.name.utf8.starts(with: name + [UInt8(ascii: " ")])
        }
        guard named.isEmpty else { return named }
        throw .usage(
            "there is no command '\(shown(name))'"
                + suggestion(for: name, among: verbs.map(\.name) + Verb.topicNames, prefix: "")
                + "; flock-cache help lists all")
    }
}
