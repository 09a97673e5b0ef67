/// A command as data: the parser, the help and whatever else describes commands read the same
/// table.
///
/// A class, because a copy of one is then a reference: cheap, and nothing to build at run time.
final class Verb: Sendable {
    let name: String
    let group: Group
    /// One line.
    let summary: String
    /// What stands without a name: `KEY`, `[VALUE]` if it may be left out, `KEY…` for one or more.
    let operands: [String]
    let options: [Option]
    /// Whether a number below zero may stand behind the first operand without `--` before it.
    let takesNumbers: Bool
    /// What the command does, in paragraphs, each of which is one line.
    let detail: String
    /// A line an exit code, and behind it what it means here.
    let exits: String
    /// A line an example.
    let example: String
    let action: Action

    /// How commands stand together in the overview.
    enum Group: String, CaseIterable, Sendable {
        case once = "Compute once"
        case locks = "Lock"
        case leases = "Lease"
        case values = "Values"
        case journals = "Journals"
        case inspect = "Inspect"
        case maintain = "Maintain"
    }

    enum Action: Sendable {
        case plain(@Sendable (Invocation) throws(Failure) -> ExitCode)
        /// Runs a COMMAND, which stands behind the operands, and passes its exit code on.
        case running(@Sendable (Invocation) throws(Failure) -> Int32)
    }

    var takesCommand: Bool { if case .running = action { true } else { false } }

    /// Whether the last operand stands for one or more.
    var takesMany: Bool { operands.last?.contains("…") == true }

    /// Whether COMMAND begins behind so many operands, with a word that may be the end of the
    /// options or one of them.
    func beginsCommand(behind count: Int, isEnd: Bool, isOption: Bool) -> Bool {
        guard takesCommand else { return false }
        // Where any number of operands may stand only `--` parts them from COMMAND.
        return takesMany ? isEnd && count > 0 : count == operands.count && (isEnd || !isOption)
    }

    convenience init(
        name: String, group: Group, summary: String, operands: [String], options: [Option],
        takesNumbers: Bool = false, detail: String, exits: String,
        example: String, run: @escaping @Sendable (Invocation) throws(Failure) -> ExitCode
    ) {
        self.init(
            (name, group, summary), operands, options, takesNumbers, (detail, exits, example),
            .plain(run))
    }

    /// One that runs a COMMAND.
    convenience init(
        name: String, group: Group, summary: String, operands: [String], options: [Option],
        detail: String, exits: String,
        example: String, runCommand: @escaping @Sendable (Invocation) throws(Failure) -> Int32
    ) {
        self.init(
            (name, group, summary), operands, options, false, (detail, exits, example),
            .running(runCommand))
    }

    private init(
        _ title: (name: String, group: Group, summary: String), _ operands: [String],
        _ options: [Option], _ takesNumbers: Bool,
        _ text: (detail: String, exits: String, example: String), _ action: Action
    ) {
        (name, group, summary) = title
        self.operands = operands
        self.options = options
        self.takesNumbers = takesNumbers
        (detail, exits, example) = text
        self.action = action
    }
}
