internal import FlockCache
internal import SystemCalls

extension Verb {
    static let man = Verb(
        name: "man", group: .maintain, summary: "Print the manual page.",
        operands: ["[COMMAND…]"],
        options: [],
        detail: """
            Prints roff on a pipe or into a file, and plain text on a terminal. Without an operand it is the page of the whole program.
            """,
        exits: """
            0 printed
            64 there is no such command
            """,
        example: """
            flock-cache man | man -l -
            flock-cache man > /usr/local/share/man/man1/flock-cache.1
            """,
        run: runMan)

    static let completions = Verb(
        name: "completions", group: .maintain, summary: "Print a script for shell completion.",
        operands: ["SHELL"],
        options: [],
        detail: """
            The script completes commands, options, and the keys, locks, leases and journals of the store.
            """,
        exits: """
            0 printed
            64 there is no script for that shell
            """,
        example: """
            flock-cache completions bash > /etc/bash_completion.d/flock-cache
            source <(flock-cache completions zsh)
            flock-cache completions fish | source
            """,
        run: runCompletions)
}

@Sendable private func runMan(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.operands.count == 1, let topic = Verb.topic(invocation.operands[0]) {
        let name = String(decoding: invocation.operands[0], as: UTF8.self)
        try invocation.print(
            Process.isTerminal(invocation.environment.output)
                ? topic.text : ManualPage.roff(of: topic, named: name, version: programVersion))
        return .yes
    }
    let verbs = try invocation.verbsNamed()
    let isOfAll = verbs.count == invocation.verbs.count
    if Process.isTerminal(invocation.environment.output) {
        let pages = (isOfAll ? [Verb.overview(of: verbs).text] : []) + verbs.map(\.page.text)
        let rest = isOfAll ? [Verb.exitCodes.text, Verb.environment.text] : []
        let line = "\n\n" + String(repeating: "-", count: 72) + "\n\n"
        try invocation.print((pages + rest).joined(separator: line))
        return .yes
    }
    let pages = isOfAll ? [nil] : verbs.map { Optional($0) }
    for verb in pages {
        try invocation.print(
            ManualPage.roff(of: verb, among: invocation.verbs, version: programVersion))
    }
    return .yes
}

@Sendable private func runCompletions(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let name = String(decoding: invocation.operands[0], as: UTF8.self)
    guard let shell = Completions.Shell(rawValue: name) else {
        throw .usage(
            "no completions for '\(printable(name))': flock-cache has them for bash, zsh and fish")
    }
    try invocation.print(Completions(verbs: invocation.verbs).script(for: shell))
    return .yes
}
