internal import FlockCache

extension Verb {
    static let version = Verb(
        name: "version", group: .maintain, summary: "Print the version.",
        operands: [],
        options: [],
        detail: """
            The version of the program, and the formats of stores that it writes: a store with a journal of its changes has one of its own. --version and -V before a command do the same.
            """,
        exits: """
            0 printed
            """,
        example: """
            flock-cache version
            """,
        run: runVersion)
}

/// The program's version; `docs/changelog.md` says what each brought.
let programVersion = "0.1.0"

@Sendable private func runVersion(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.has(.json) {
        try invocation.print([
            .init("version", .text(programVersion)), .init("format", .number(Limits.format)),
            .init("newest_format", .number(Limits.newestFormat)),
        ])
    } else {
        let formats = "store format \(Limits.format), with --journal \(Limits.newestFormat)"
        try invocation.print("flock-cache \(programVersion) (\(formats))")
    }
    return .yes
}
