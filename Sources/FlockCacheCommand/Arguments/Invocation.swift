internal import FlockCache

/// A command line as it was understood, and the world it runs in.
final class Invocation {
    let environment: Environment
    /// The table of commands that it was read by, for the help.
    let verbs: [Verb]
    /// The name of the command, once it is known.
    var verbName = ""
    var operands: [[UInt8]] = []
    /// A COMMAND to run, and its arguments.
    var command: [[UInt8]] = []
    private var given: [Given] = []

    private struct Given {
        let name: String
        let text: [UInt8]
        let value: OptionValue
    }

    init(_ environment: Environment, _ verbs: [Verb]) {
        self.environment = environment
        self.verbs = verbs
    }

    func give(_ option: Option, _ text: [UInt8] = [], _ value: OptionValue = .none) {
        given.append(Given(name: option.name, text: text, value: value))
    }

    // MARK: Options
    //
    // Where an option stands twice the last one counts. nil: it does not stand there.

    func has(_ option: Option) -> Bool { last(option) != nil }

    /// A value as it was written.
    func text(_ option: Option) -> [UInt8]? { last(option)?.text }

    func duration(_ option: Option) -> Duration? {
        value(option) { if case .duration(let duration) = $0 { duration } else { nil } }
    }

    func size(_ option: Option) -> Int? {
        value(option) { if case .size(let size) = $0 { size } else { nil } }
    }

    func count(_ option: Option) -> Int? {
        value(option) { if case .count(let count) = $0 { count } else { nil } }
    }

    func integer(_ option: Option) -> Int64? {
        value(option) { if case .integer(let integer) = $0 { integer } else { nil } }
    }

    func number(_ option: Option) -> UInt64? {
        value(option) { if case .number(let number) = $0 { number } else { nil } }
    }

    func mode(_ option: Option) -> UInt32? {
        value(option) { if case .mode(let mode) = $0 { mode } else { nil } }
    }

    func owner(_ option: Option) -> NamedOwner? {
        value(option) { if case .owner(let owner) = $0 { owner } else { nil } }
    }

    func exitCode(_ option: Option) -> Int32? {
        value(option) { if case .exitCode(let code) = $0 { code } else { nil } }
    }

    func wait(_ option: Option) -> Wait? {
        value(option) { if case .wait(let wait) = $0 { wait } else { nil } }
    }

    private func value<Value>(_ option: Option, _ read: (OptionValue) -> Value?) -> Value? {
        guard let given = last(option) else { return nil }
        guard let value = read(given.value) else {
            preconditionFailure("--\(option.name) was asked for as a value of another kind")
        }
        return value
    }

    private func last(_ option: Option) -> Given? { given.last { $0.name == option.name } }

    // MARK: What commands have in common

    /// Throws where it says both to wait and not to.
    func checkWaits() throws(Failure) {
        guard has(.noWait), case let wait? = wait(.wait) else { return }
        if case .not = wait { return }
        throw .usage(
            "-n and -w \(shown(text(.wait) ?? [])) contradict each other: give one of them")
    }

    /// Replaces the operands that are keys by what they stand for percent-encoded.
    func decodeKeys(of verb: Verb) throws(Failure) {
        for index in operands.indices where index == 0 || verb.takesMany {
            guard let key = Store.Key(percentEncoded: operands[index]) else {
                throw .usage(
                    "'\(shown(operands[index]))' is not percent-encoded: behind each % come two of "
                        + "0-9 and A-F; leave --encoded out to take it literally")
            }
            operands[index] = key.bytes
        }
    }

    /// The key that an operand is.
    func key(_ index: Int = 0) -> Store.Key { Store.Key(operands[index]) }

    /// A number of slots, if there can be so many.
    func possibleSlots(_ count: Int) throws(Failure) -> Int {
        guard 1...Limits.slots ~= count else {
            throw .usage("--slots takes 1 to \(Limits.slots), not \(count)")
        }
        return count
    }

    /// How long a command waits that waits only when told to.
    func waitIfTold() -> Wait { has(.noWait) ? .not : wait(.wait) ?? .not }

    /// How long a command waits that waits unless told otherwise: what FLOCK_CACHE_WAIT says, else
    /// five minutes.
    func waitByDefault() throws(Failure) -> Wait {
        if has(.wait) || has(.noWait) { return waitIfTold() }
        guard let text = environment.setting(.wait) else { return OptionDefault.wait }
        guard let wait = Wait(argument: text) else {
            throw Failure(
                .configuration,
                "\(Variable.wait) is neither a duration such as 30s nor 'forever': \(shown(text))")
        }
        return wait
    }
}

// MARK: Reporting

extension Invocation {
    var words: Words {
        Words(
            to: environment.error, isQuiet: has(.quiet), isVerbose: has(.verbose),
            isJSON: has(.json))
    }

    var results: Results { Results(to: environment.output) }

    /// Prints a line as the whole result.
    func print(_ line: String) throws(Failure) {
        var results = results
        try results.line(line)
        try results.flush()
    }

    /// Prints an object as the whole result.
    func print(_ members: [JSON.Member]) throws(Failure) { try print(JSON.line(members)) }
}

extension Environment {
    /// For before the command line was understood, or where it cannot be: then what is plainly
    /// there counts, because a program that asked for JSON reads its usage errors too.
    var words: Words {
        let options = arguments.prefix { !$0.elementsEqual("--".utf8) }
        func has(_ option: String) -> Bool { options.contains { $0.elementsEqual(option.utf8) } }
        return Words(
            to: error, isQuiet: has("-q") || has("--quiet"), isVerbose: false,
            isJSON: has("--json"))
    }
}
