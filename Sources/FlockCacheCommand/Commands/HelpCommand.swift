extension Verb {
    static let helpVerb = Verb(
        name: "help", summary: "Explain a command.",
        operands: ["[COMMAND…]"], options: [],
        detail: "Without a command it lists them all.", example: "flock-cache help claim",
        run: runHelp)
}

@Sendable private func runHelp(_ invocation: Invocation) throws(Failure) -> ExitCode {
    // A name of two words may also stand as one.
    let name = Array(invocation.operands.joined(separator: [UInt8(ascii: " ")]))
    let verbs = invocation.verbs.filter { verb in
        name.isEmpty || verb.name.utf8.elementsEqual(name)
            || verb.name.utf8.starts(with: name + [UInt8(ascii: " ")])
    }
    guard !verbs.isEmpty else {
        throw .usage(
            "there is no command '\(shown(name))'"
                + suggestion(for: name, among: invocation.verbs.map(\.name), prefix: ""))
    }
    try invocation.print(Verb.help(of: verbs, among: invocation.verbs))
    return .yes
}
