internal import FlockCache

// The help, made from the table of commands.

extension Verb {
    static let helpVerb = Verb(
        name: "help", summary: "Explain a command.",
        operands: ["[COMMAND…]"], options: [],
        detail: "Without a command it lists them all.", example: "flock-cache help claim",
        run: runHelp)

    static let version = Verb(
        name: "version", summary: "Print the version.", operands: [], options: [],
        detail: "The program's version, and the format of stores it knows.",
        example: "flock-cache version", run: runVersion)

    /// All commands, in the order in which they are explained.
    static let all: [Verb] = [
        .claim, .finalize, .abandon, .get, .wait, .run, .lock, .leaseAcquire, .leaseRenew,
        .leaseRelease, .leaseCheck, .leaseRun, .who, .remove, .list, .stats, .reap,
        .initialize,
        .helpVerb,
        .version,
    ]

    /// `claim [-w D] … KEY`.
    var usage: String {
        let options = options.map { option in
            let name = option.short.map { "-\($0)" } ?? "--\(option.name)"
            return "[" + name + (option.value.map { " " + $0.placeholder } ?? "") + "]"
        }
        let command = takesCommand ? [takesMany ? "--" : "[--]", "COMMAND…"] : []
        return (["flock-cache", name] + options + operands + command).joined(separator: " ")
    }

    var helpText: String {
        var lines = [summary, "", "usage: " + usage, ""] + [detail, ""]
        lines += Self.columns((options + Option.everywhere).map { ($0.spelling, $0.help) })
        lines += ["", "example:", "  " + example]
        return lines.joined(separator: "\n")
    }

    /// Of one in full, of several a line each, of all with what holds for all.
    static func help(of verbs: [Verb]) -> String {
        if verbs.count == 1 { return verbs[0].helpText }
        if verbs.count == all.count { return overview }
        let more = ["", "More of a command: flock-cache help \(verbs.first?.name ?? "")"]
        return (columns(verbs.map { ($0.name, $0.summary) }) + more).joined(separator: "\n")
    }

    static var overview: String {
        var lines = [
            "flock-cache: many processes, one directory, no daemon: each piece of work is done once.",
            "", "usage: flock-cache [--store DIR] COMMAND …", "",
        ]
        lines += columns(all.map { ($0.name, $0.summary) })
        lines += ["", "options of every command:"]
        lines += columns(Option.everywhere.map { ($0.spelling, $0.help) })
        lines += ["", "exit codes:"]
        lines += columns(ExitCode.allCases.map { (String($0.rawValue), $0.meaning) })
        lines += [
            "",
            "The store is --store, else FLOCK_CACHE_DIR, else $XDG_CACHE_HOME/flock-cache, else",
            "$HOME/.cache/flock-cache. Durations: 250ms 30s 5m 2h 7d 1.5. Sizes: 4096 64K 10M 2G.",
            "More of a command: flock-cache help COMMAND",
        ]
        return lines.joined(separator: "\n")
    }

    private static func columns(_ rows: [(String, String)]) -> [String] {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { left, right in
            "  " + left + String(repeating: " ", count: width - left.count + 2) + right
        }
    }
}

/// The program's version; `docs/changelog.md` says what each brought.
let programVersion = "0.1.0"

@Sendable private func runHelp(_ invocation: Invocation) throws(Failure) -> ExitCode {
    // A name of two words may also stand as one.
    let name = Array(invocation.operands.joined(separator: [UInt8(ascii: " ")]))
    let verbs = Verb.all.filter { verb in
        name.isEmpty || verb.name.utf8.elementsEqual(name)
            || verb.name.utf8.starts(with: name + [UInt8(ascii: " ")])
    }
    guard !verbs.isEmpty else {
        throw .usage(
            "there is no command '\(shown(name))'"
                + suggestion(for: name, among: Verb.all.map(\.name), prefix: ""))
    }
    try print(Verb.help(of: verbs), invocation)
    return .yes
}

@Sendable private func runVersion(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.has(.json) {
        let members: [JSON.Member] = [
            .init("version", .text(programVersion)), .init("format", .number(Limits.format)),
        ]
        try print(JSON.line(members), invocation)
    } else {
        try print("flock-cache \(programVersion) (store format \(Limits.format))", invocation)
    }
    return .yes
}

func print(_ text: String, _ invocation: Invocation) throws(Failure) {
    var results = Results(invocation.environment)
    try results.line(text)
    try results.flush()
}
