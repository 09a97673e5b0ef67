/// A command as data: the parser, the help and whatever else describes commands read the same table.
///
/// A class, because a copy of one is then a reference: cheap, and nothing to build at run time.
final class Verb: Sendable {
    let name: String
    /// One line.
    let summary: String
    /// What stands without a name: `KEY`, `[VALUE]` if it may be left out, `KEY…` for one or more.
    let operands: [String]
    let options: [Option]
    /// What the command prints and how it ends, in a few lines.
    let detail: String
    let example: String
    let action: Action

    enum Action: Sendable {
        case plain(@Sendable (Invocation) throws(Failure) -> ExitCode)
        /// Runs a COMMAND, which stands behind the operands, and passes its exit code on.
        case running(@Sendable (Invocation) throws(Failure) -> Int32)
    }

    var takesCommand: Bool { if case .running = action { true } else { false } }

    /// Whether the last operand stands for one or more.
    var takesMany: Bool { operands.last?.contains("…") == true }

    /// Whether COMMAND begins behind so many operands, with a word that may be the end of the options or one
    /// of them.
    func beginsCommand(behind count: Int, isEnd: Bool, isOption: Bool) -> Bool {
        guard takesCommand else { return false }
        // Where any number of operands may stand only `--` parts them from COMMAND.
        return takesMany ? isEnd && count > 0 : count == operands.count && (isEnd || !isOption)
    }

    convenience init(
        name: String, summary: String, operands: [String], options: [Option], detail: String,
        example: String, run: @escaping @Sendable (Invocation) throws(Failure) -> ExitCode
    ) {
        self.init(name, summary, operands, options, detail, example, .plain(run))
    }

    /// One that runs a COMMAND.
    convenience init(
        name: String, summary: String, operands: [String], options: [Option], detail: String,
        example: String, runCommand: @escaping @Sendable (Invocation) throws(Failure) -> Int32
    ) {
        self.init(name, summary, operands, options, detail, example, .running(runCommand))
    }

    private init(
        _ name: String, _ summary: String, _ operands: [String], _ options: [Option],
        _ detail: String, _ example: String, _ action: Action
    ) {
        self.name = name
        self.summary = summary
        self.operands = operands
        self.options = options
        self.detail = detail
        self.example = example
        self.action = action
    }
}

/// What stands with a name.
struct Option: Sendable {
    /// Without the hyphens.
    let name: String
    var short: Character?
    /// nil: it stands alone.
    var value: OptionValue?
    let help: String

    var spelling: String {
        let long = "--" + name + (value.map { " " + $0.placeholder } ?? "")
        return short.map { "-\($0), \(long)" } ?? "    \(long)"
    }
}

/// The kinds of values, checked while parsing.
enum OptionValue: Sendable {
    case duration
    /// A duration or `forever`.
    case wait
    case size, count, generation, owner, process, path, bytes, mode, exitCode

    var placeholder: String {
        switch self {
        case .duration: "D"
        case .wait: "D"
        case .size: "SIZE"
        case .count: "N"
        case .generation: "G"
        case .owner: "PID|none"
        case .process: "PID"
        case .path: "PATH"
        case .bytes: "TEXT"
        case .mode: "MODE"
        case .exitCode: "CODE"
        }
    }
}

extension Option {
    // Options that mean the same wherever they stand are written once.
    static let store = Option(
        name: "store", value: .path, help: "the store's directory (or FLOCK_CACHE_DIR)")
    static let json = Option(name: "json", help: "one JSON object per result line, and for errors")
    static let quiet = Option(
        name: "quiet", short: "q", help: "no notices on standard error, only errors")
    static let verbose = Option(
        name: "verbose", short: "v", help: "say whose claim it is, and the like")
    static let help = Option(name: "help", short: "h", help: "this text")

    /// Stand with every command, before or after its name.
    static let everywhere = [store, json, quiet, verbose, help]

    static let wait = Option(
        name: "wait", short: "w", value: .wait, help: "wait at most D for the end of a PENDING")
    static let noWait = Option(name: "no-wait", short: "n", help: "do not wait")
    static let maxAge = Option(
        name: "max-age", value: .duration, help: "a value older than D does not count")
    static let generation = Option(
        name: "generation", value: .generation, help: "the claim's number, as claim printed it")
    static let owner = Option(
        name: "owner", value: .owner,
        help: "the process whose claim it is (or FLOCK_CACHE_OWNER)")
    static let nulEnded = Option(name: "null", short: "0", help: "raw keys only, each ended by NUL")
}
