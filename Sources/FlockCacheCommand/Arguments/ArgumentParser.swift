/// Reads a command line against the table of commands.
///
/// Arguments are bytes throughout.
struct ArgumentParser {
    let verbs: [Verb]

    enum Result {
        case run(Verb, Invocation)
        /// Help was asked for, of a command, or of several.
        case help([Verb])
    }

    /// Settles in one pass what the options of a command line are and where its operands begin.
    ///
    /// `--opt value`, `--opt=value`, `-w5`, `-w 5`, `-nq`, and `--` ends the options. Of a verb that runs
    /// a COMMAND, what stands behind its operands is COMMAND's, `--` before it or not.
    func parse(_ arguments: [[UInt8]], _ environment: Environment) throws(Failure) -> Result {
        var verb: Verb?
        do throws(Failure) {
            return try parse(arguments, environment, &verb)
        } catch {
            throw verb?.takesCommand == true ? error.asOwnFailure : error
        }
    }

    private func parse(
        _ arguments: [[UInt8]], _ environment: Environment, _ verb: inout Verb?
    ) throws(Failure) -> Result {
        let invocation = Invocation(environment)
        var wantsHelp = false
        var index = 0
        var onlyOperands = false
        // The first word of a name of two.
        var group: [UInt8] = []
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            let isOption = !onlyOperands && argument.count > 1 && argument[0] == hyphen
            let isEnd = argument.elementsEqual("--".utf8)
            let count = invocation.operands.count
            if let verb, verb.beginsCommand(behind: count, isEnd: isEnd, isOption: isOption) {
                invocation.command = Array(arguments[(isEnd ? index : index - 1)...])
                break
            }
            if !isOption {
                if verb == nil {
                    verb = named(group + argument)
                    if verb == nil {
                        guard group.isEmpty, isGroup(argument) else {
                            throw unknownVerb(group + argument)
                        }
                        group = argument + [UInt8(ascii: " ")]
                    }
                } else {
                    invocation.operands.append(argument)
                }
            } else if isEnd {
                onlyOperands = true
            } else {
                let options = (verb?.options ?? []) + Option.everywhere
                let next = index < arguments.count ? arguments[index] : nil
                let usedNext =
                    try argument[1] == hyphen
                    ? long(argument, next, options, verb, invocation)
                    : short(argument, next, options, verb, invocation)
                if usedNext { index += 1 }
            }
            wantsHelp = invocation.has(.help)
        }
        if wantsHelp { return .help(verb.map { [$0] } ?? part(of: group)) }
        guard let verb else {
            if !group.isEmpty {
                let names = part(of: group).map { $0.name.dropFirst(group.count) }
                throw .usage("\(shown(group))needs one of: \(names.joined(separator: ", "))")
            }
            throw .usage("which command? Try: flock-cache help")
        }
        try checkOperands(invocation.operands, of: verb)
        if verb.takesCommand && invocation.command.isEmpty {
            let end = verb.takesMany ? "-- and " : ""
            throw .usage("\(verb.name) needs \(end)a COMMAND. Try: flock-cache help \(verb.name)")
        }
        return .run(verb, invocation)
    }

    private func isGroup(_ word: [UInt8]) -> Bool {
        !part(of: word + [UInt8(ascii: " ")]).isEmpty
    }

    /// The commands whose names begin so; all for nothing.
    private func part(of prefix: [UInt8]) -> [Verb] {
        verbs.filter { $0.name.utf8.starts(with: prefix) }
    }

    private func named(_ name: [UInt8]) -> Verb? {
        verbs.first { $0.name.utf8.elementsEqual(name) }
    }

    private func unknownVerb(_ name: [UInt8]) -> Failure {
        .usage(
            "there is no command '\(shown(name))'"
                + suggestion(for: name, among: verbs.map(\.name), prefix: "")
                + "; flock-cache help lists them")
    }

    private func long(
        _ argument: [UInt8], _ next: [UInt8]?, _ options: [Option], _ verb: Verb?,
        _ invocation: Invocation
    ) throws(Failure) -> Bool {
        let body = argument.dropFirst(2)
        let name = body.prefix { $0 != UInt8(ascii: "=") }
        guard let option = options.first(where: { $0.name.utf8.elementsEqual(name) }) else {
            throw unknown(Array(name), spelled: "--" + shown(name), options, verb)
        }
        let attached = name.endIndex < body.endIndex ? Array(body[(name.endIndex + 1)...]) : nil
        guard option.value != nil else {
            if attached != nil { throw .usage("--\(option.name) takes no value") }
            invocation.give(option, [])
            return false
        }
        try give(option, attached ?? next, invocation)
        return attached == nil
    }

    private func short(
        _ argument: [UInt8], _ next: [UInt8]?, _ options: [Option], _ verb: Verb?,
        _ invocation: Invocation
    ) throws(Failure) -> Bool {
        var rest = argument.dropFirst()
        while let letter = rest.popFirst() {
            guard let option = options.first(where: { $0.short?.asciiValue == letter }) else {
                throw unknown([letter], spelled: "-" + shown([letter]), options, verb)
            }
            guard option.value != nil else {
                invocation.give(option, [])
                continue
            }
            try give(option, rest.isEmpty ? next : Array(rest), invocation)
            return rest.isEmpty
        }
        return false
    }

    private func give(
        _ option: Option, _ value: [UInt8]?, _ invocation: Invocation
    ) throws(Failure) {
        guard let value, let kind = option.value else {
            throw .usage("--\(option.name) needs a value: \(option.help)")
        }
        guard kind.accepts(value) else {
            throw .usage("--\(option.name) takes \(kind.expectation), not '\(shown(value))'")
        }
        invocation.give(option, value)
    }

    private func checkOperands(_ operands: [[UInt8]], of verb: Verb) throws(Failure) {
        let least = verb.operands.count { !$0.hasPrefix("[") }
        let most = verb.takesMany ? Int.max : verb.operands.count
        if operands.count < least {
            let missing = verb.operands[operands.count]
            throw .usage("\(verb.name) needs \(missing). Try: flock-cache help \(verb.name)")
        }
        if operands.count > most {
            throw .usage(
                "\(verb.name) does not take '\(shown(operands[most]))' as well; quote what belongs "
                    + "together, and see flock-cache help \(verb.name)")
        }
    }

    private func unknown(
        _ name: [UInt8], spelled: String, _ options: [Option], _ verb: Verb?
    ) -> Failure {
        let near = suggestion(for: name, among: options.map(\.name), prefix: "--")
        guard let verb else {
            // What other programs take as an option.
            if verbs.contains(where: { $0.name.utf8.elementsEqual(name) }) {
                return .usage("\(spelled) is a command here: flock-cache \(shown(name))")
            }
            return .usage("there is no option \(spelled) before a command\(near)")
        }
        return .usage("\(verb.name) has no option \(spelled)\(near)")
    }

    private let hyphen = UInt8(ascii: "-")

    init(verbs: [Verb]) { self.verbs = verbs }
}

extension OptionValue {
    func accepts(_ value: [UInt8]) -> Bool {
        switch self {
        case .duration: Duration(argument: value) != nil
        case .wait: value.elementsEqual("forever".utf8) || Duration(argument: value) != nil
        case .size: Int(sizeArgument: value) != nil
        case .count: UInt64(argument: value).flatMap(Int.init(exactly:)) != nil
        case .generation, .process: UInt64(argument: value) != nil
        case .owner: value.elementsEqual("none".utf8) || UInt64(argument: value) != nil
        case .path, .bytes: true
        case .mode: UInt32(String(decoding: value, as: UTF8.self), radix: 8) != nil
        case .exitCode: UInt64(argument: value).map { 1...255 ~= $0 } ?? false
        }
    }

    var expectation: String {
        switch self {
        case .duration: "a duration such as 250ms, 30s, 5m, 2h, 7d or 1.5"
        case .wait: "a duration such as 30s or 5m, or 'forever'"
        case .size: "a size such as 4096, 64K, 10M or 2G"
        case .count: "a number"
        case .generation: "a generation, a number"
        case .owner: "a process number, or 'none'"
        case .process: "a process number"
        case .path: "a path"
        case .bytes: "text"
        case .mode: "permissions in octal: 0700, 0750 or 0770"
        case .exitCode: "an exit code, 1 to 255"
        }
    }
}

/// ", did you mean …?" if there is something near.
func suggestion(for name: [UInt8], among names: [String], prefix: String) -> String {
    let ranked = names.map { ($0, distance(name, Array($0.utf8))) }.min { $0.1 < $1.1 }
    guard let (nearest, changes) = ranked, changes <= max(1, name.count / 3) else { return "" }
    return "; did you mean \(prefix)\(nearest)?"
}

/// How many letters have to be changed, added, left out or exchanged with their neighbour.
private func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var rows = [Array(0...b.count)]
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var least = min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                least = min(least, rows[i - 1][j - 1] + 1)
            }
            row.append(least)
        }
        rows.append(row)
    }
    return rows[a.count][b.count]
}
