// Arguments: what was asked for: the command line, the environment, and how both are read.
//
// Uses Report, for failures and for where words and results go, and nothing above. It does not know
// which commands there are: the table of them (`Commands.swift`) is handed to it, and it hands an
// `Invocation` back. All options are in `Options.swift`, all variables in `Environment.swift`.

/// Reads a command line against the table of commands.
///
/// Arguments are bytes throughout.
///
/// A class, because copying a `Verb?` out of a struct of this size makes the runtime build metadata
/// for it: 34,000 instructions, where all of a `get` takes 136,000.
final class ArgumentParser {
    enum Result {
        case run(Verb, Invocation)
        /// Help was asked for, of a command, or of several.
        case help([Verb])
    }

    private let verbs: [Verb]
    private let arguments: [[UInt8]]
    private let invocation: Invocation
    private var index = 0
    private var verb: Verb?
    /// The first word of a name of two, and a space.
    private var group: [UInt8] = []
    /// Behind `--`.
    private var onlyOperands = false
    /// `--` came before the operands of a verb that runs a COMMAND, and none has come behind them.
    private var endsBeforeOperands = false

    private static let hyphen = UInt8(ascii: "-")

    private init(_ environment: Environment, _ verbs: [Verb]) {
        self.verbs = verbs
        arguments = environment.arguments
        invocation = Invocation(environment, verbs)
    }

    /// Settles in one pass what the options of a command line are and where its operands begin.
    ///
    /// `--opt value`, `--opt=value`, `-w5`, `-w 5`, `-nq`, and `--` ends the options. Of a verb
    /// that runs a COMMAND, what stands behind its operands is COMMAND's, `--` before it or not.
    static func parse(_ environment: Environment, verbs: [Verb]) throws(Failure) -> Result {
        let parser = ArgumentParser(environment, verbs)
        do throws(Failure) {
            try parser.readArguments()
            return try parser.result()
        } catch {
            throw parser.verb?.takesCommand == true ? error.asOwnFailure : error
        }
    }

    private func readArguments() throws(Failure) {
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            let isOption =
                !onlyOperands && argument.count > 1 && argument[0] == Self.hyphen
                && !isNumber(argument)
            let isEnd = argument.elementsEqual("--".utf8)
            if let verb,
                verb.beginsCommand(
                    behind: invocation.operands.count, isEnd: isEnd, isOption: isOption)
            {
                invocation.command = Array(arguments[(isEnd ? index : index - 1)...])
                if isEnd { endsBeforeOperands = false }
                return
            }
            if !isOption {
                try readWord(argument)
            } else if isEnd {
                onlyOperands = true
                endsBeforeOperands = verb?.takesCommand == true && invocation.operands.isEmpty
            } else if argument[1] == Self.hyphen {
                try readLong(argument)
            } else {
                try readShort(argument)
            }
        }
    }

    /// Whether it is a number below zero where the verb takes one.
    private func isNumber(_ argument: [UInt8]) -> Bool {
        verb?.takesNumbers == true && !invocation.operands.isEmpty
            && UInt64(argument: Array(argument.dropFirst())) != nil
    }

    private func result() throws(Failure) -> Result {
        if invocation.has(.help) { return .help(verb.map { [$0] } ?? part(of: group)) }
        if verb == nil, group.isEmpty, invocation.has(.version),
            let version = verbs.first(where: { $0.name == Option.version.name })
        {
            return .run(version, invocation)
        }
        guard let verb else {
            if !group.isEmpty {
                let names = part(of: group).map { $0.name.dropFirst(group.count) }
                throw .usage("\(shown(group))needs one of: \(names.joined(separator: ", "))")
            }
            throw .usage("which command? flock-cache help lists them")
        }
        // A variable that was empty, mostly: the first word of COMMAND would be taken for the key. But no program has a
        // name that begins with a hyphen.
        if endsBeforeOperands, let word = invocation.operands.first, word.first != Self.hyphen {
            throw .usage(
                "\(verb.name) needs \(verb.operands[0]) before --, and '\(shown(word))' is behind it; quote a variable "
                    + "that may be empty. \(verb.usage)")
        }
        try checkOperands(invocation.operands, of: verb)
        if verb.takesCommand && invocation.command.isEmpty {
            let end = verb.takesMany ? "-- and " : ""
            throw .usage("\(verb.name) needs \(end)a COMMAND: \(verb.usage)")
        }
        try invocation.checkWaits()
        if invocation.has(.encoded) { try invocation.decodeKeys(of: verb) }
        return .run(verb, invocation)
    }

    private func checkOperands(_ operands: [[UInt8]], of verb: Verb) throws(Failure) {
        let least = verb.operands.count { !$0.hasPrefix("[") }
        let most = verb.takesMany ? Int.max : verb.operands.count
        if operands.count < least {
            let missing = verb.operands[operands.count]
            throw .usage("\(verb.name) needs \(missing); see flock-cache help \(verb.name)")
        }
        if operands.count > most {
            let extra = shown(operands[most])
            if most == 0 {
                throw .usage(
                    "\(verb.name) takes no operand, but '\(extra)' was given; see flock-cache help "
                        + verb.name)
            }
            throw .usage(
                "\(verb.name) does not take '\(extra)' as well; quote what belongs "
                    + "together, and see flock-cache help \(verb.name)")
        }
    }

    // MARK: Words

    /// Reads a part of the verb's name, and behind that an operand.
    private func readWord(_ word: [UInt8]) throws(Failure) {
        if verb != nil {
            invocation.operands.append(word)
            return
        }
        let name = group + word
        verb = verbs.first { $0.name.utf8.elementsEqual(name) }
        invocation.verbName = verb?.name ?? ""
        guard verb == nil else { return }
        let beginning = word + [UInt8(ascii: " ")]
        guard group.isEmpty, !part(of: beginning).isEmpty else { throw noCommand(word, name) }
        group = beginning
    }

    private func noCommand(_ word: [UInt8], _ name: [UInt8]) -> Failure {
        let what = "there is no command '\(shown(name))'"
        let advice =
            group.isEmpty ? ForeignWord.command(word) : ForeignWord.command(word, in: group)
        if let advice { return .usage("\(what); \(advice)") }
        if group.isEmpty, let advice = ForeignWord.beforeCommand(shown(word)) {
            return .usage("\(what); \(advice)")
        }
        let names = part(of: group).map { String($0.name.dropFirst(group.count)) }
        let near = suggestion(for: word, among: names, prefix: shown(group))
        guard near.isEmpty else { return .usage(what + near) }
        guard !group.isEmpty else { return .usage("\(what); flock-cache help lists all commands") }
        return .usage(
            "\(what); \(shown(group))needs one of \(names.joined(separator: ", ")) before the name")
    }

    /// The commands whose names begin so; all for nothing.
    private func part(of prefix: [UInt8]) -> [Verb] {
        verbs.filter { $0.name.utf8.starts(with: prefix) }
    }

    // MARK: Options

    /// Those of the verb, if there is one already, and those of all.
    private var options: [Option] {
        (verb?.options ?? (group.isEmpty ? [Option.version] : [])) + Option.everywhere
    }

    private func readLong(_ argument: [UInt8]) throws(Failure) {
        let body = argument.dropFirst(2)
        let name = body.prefix { $0 != UInt8(ascii: "=") }
        guard let option = options.first(where: { $0.name.utf8.elementsEqual(name) }) else {
            throw unknown(Array(name), spelled: "--" + shown(name))
        }
        let attached = name.endIndex < body.endIndex ? Array(body[(name.endIndex + 1)...]) : nil
        guard let kind = option.kind else {
            if attached != nil { throw .usage("--\(option.name) takes no value") }
            invocation.give(option)
            return
        }
        try give(option, kind, attached ?? nextArgument())
    }

    private func readShort(_ argument: [UInt8]) throws(Failure) {
        var rest = argument.dropFirst()
        while let letter = rest.popFirst() {
            guard let option = options.first(where: { $0.short?.asciiValue == letter }) else {
                throw unknown([letter], spelled: "-" + shown([letter]))
            }
            guard let kind = option.kind else {
                invocation.give(option)
                continue
            }
            try give(option, kind, rest.isEmpty ? nextArgument() : Array(rest))
            return
        }
    }

    /// Takes the argument that comes next for an option's value.
    private func nextArgument() -> [UInt8]? {
        guard index < arguments.count else { return nil }
        defer { index += 1 }
        return arguments[index]
    }

    private func give(_ option: Option, _ kind: OptionKind, _ text: [UInt8]?) throws(Failure) {
        guard let text else {
            throw .usage("--\(option.name) needs a value: \(kind.expectation)")
        }
        guard let value = kind.read(text) else {
            if kind.isTooLarge(text) {
                throw .usage(
                    "--\(option.name) '\(shown(text))' is too large; it takes \(kind.expectation)")
            }
            throw .usage("--\(option.name) takes \(kind.expectation), not '\(shown(text))'")
        }
        invocation.give(option, text, value)
    }

    private func unknown(_ name: [UInt8], spelled: String) -> Failure {
        var near = suggestion(for: name, among: options.map(\.name), prefix: "--")
        guard let verb else {
            // What other programs take as an option.
            if verbs.contains(where: { $0.name.utf8.elementsEqual(name) }) {
                return .usage("\(spelled) is a command here: flock-cache \(shown(name))")
            }
            let hasCommand = arguments[index...].contains { word in
                verbs.contains { $0.name.utf8.elementsEqual(word) }
            }
            var advice = hasCommand ? "put it behind the command" : nil
            advice = advice ?? ForeignWord.beforeCommand(shown(name))
            if near.isEmpty, let advice { near = "; " + advice }
            return .usage("there is no option \(spelled) before a command\(near)")
        }
        if let advice = ForeignWord.option(name, of: verb) {
            return .usage("\(verb.name) has no option \(spelled): \(advice)")
        }
        if near.isEmpty, !verb.takesCommand, !verb.operands.isEmpty {
            return .usage(
                "\(verb.name) has no option \(spelled); put -- before a word that begins with '-'")
        }
        // Of a verb of many operands its COMMAND begins behind -- alone.
        let isCommands = verb.takesCommand && verb.takesMany && invocation.operands.count > 1
        let advice = isCommands && near.isEmpty ? "; put -- before COMMAND" : near
        return .usage("\(verb.name) has no option \(spelled)\(advice)")
    }
}
