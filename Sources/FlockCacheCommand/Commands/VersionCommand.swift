internal import FlockCache

extension Verb {
    static let version = Verb(
        name: "version", summary: "Print the version.", operands: [], options: [],
        detail: "The program's version, and the format of stores it knows.",
        example: "flock-cache version", run: runVersion)
}

/// The program's version; `docs/changelog.md` says what each brought.
private let programVersion = "0.1.0"

@Sendable private func runVersion(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.has(.json) {
        try invocation.print([
            .init("version", .text(programVersion)), .init("format", .number(Limits.format)),
        ])
    } else {
        try invocation.print("flock-cache \(programVersion) (store format \(Limits.format))")
    }
    return .yes
}
