/// Scripts by which shells complete command lines, made from the table of commands.
///
/// The parts that do not depend on it are in `CompletionScripts.swift`.
struct Completions {
    let verbs: [Verb]

    enum Shell: String, CaseIterable {
        case bash, zsh, fish
    }

    func script(for shell: Shell) -> String {
        switch shell {
        case .bash: bash
        case .zsh: zsh
        case .fish: fish
        }
    }

    // MARK: Tables

    /// The first words of all commands, with what is said of them.
    private var firstWords: [(word: String, summary: String)] {
        var words: [(word: String, summary: String)] = []
        for verb in verbs {
            let word = String(verb.name.prefix { $0 != " " })
            guard !words.contains(where: { $0.word == word }) else { continue }
            words.append((word, word == verb.name ? verb.summary : "Commands for \(word)s."))
        }
        return words
    }

    /// First words that need a second one.
    private var groups: [String] { firstWords.map(\.word).filter { !secondWords(of: $0).isEmpty } }

    private func secondWords(of group: String) -> [(word: String, summary: String)] {
        verbs.filter { $0.name.hasPrefix(group + " ") }
            .map { (String($0.name.dropFirst(group.count + 1)), $0.summary) }
    }

    /// Every spelling of the options that take a value.
    private var spellingsWithValue: [String] {
        let options = (verbs.flatMap(\.options) + Option.everywhere).filter { $0.kind != nil }
        return unique(options.flatMap(spellings))
    }

    private func spellings(_ option: Option) -> [String] {
        ["--" + option.name] + (option.short.map { ["-\($0)"] } ?? [])
    }

    private func unique(_ words: [String]) -> [String] {
        var seen: Set<String> = []
        return words.filter { seen.insert($0).inserted }
    }

    private func allOptions(of verb: Verb) -> [Option] { verb.options + Option.everywhere }

    /// What is offered for the operands of a command: a function of the script.
    private func source(of verb: Verb) -> String? {
        if verb.name == "help" || verb.name == "man" { return "commands" }
        if verb.name == "completions" { return "shells" }
        if verb.operands.isEmpty { return nil }
        switch verb.group {
        case .locks: return "locks"
        case .leases: return "leases"
        case .journals: return "journals"
        case .inspect: return "held"
        case .once, .values, .maintain: return "keys"
        }
    }

    // MARK: Scripts

    private var bash: String {
        var lines = [CompletionScripts.bashHead]
        lines.append("_flock_cache_valued=' \(spellingsWithValue.joined(separator: " ")) '")
        lines.append("_flock_cache_groups=' \(groups.joined(separator: " ")) '")
        lines.append("_flock_cache_runners=' \(runners.joined(separator: " ")) '")
        lines += ["_flock_cache_words() {", "    case $1 in"]
        lines.append("        '') echo '\(firstWords.map(\.word).joined(separator: " "))' ;;")
        for group in groups {
            let words = secondWords(of: group).map(\.word).joined(separator: " ")
            lines.append("        \(group)) echo '\(words)' ;;")
        }
        lines += ["    esac", "}", "_flock_cache_options() {", "    case $1 in"]
        for verb in verbs {
            let words = allOptions(of: verb).flatMap(spellings).joined(separator: " ")
            lines.append("        '\(verb.name)') echo '\(words)' ;;")
        }
        let general = (Option.everywhere + [Option.version]).flatMap(spellings)
        lines.append("        *) echo '\(general.joined(separator: " "))' ;;")
        lines += ["    esac", "}", "_flock_cache_source() {", "    case $1 in"]
        for verb in verbs {
            if let source = source(of: verb) {
                lines.append("        '\(verb.name)') echo \(source) ;;")
            }
        }
        lines += ["    esac", "}", CompletionScripts.bashTail]
        return lines.joined(separator: "\n")
    }

    private var runners: [String] {
        verbs.filter(\.takesCommand).map { $0.name.split(separator: " ").joined(separator: "-") }
    }

    private var zsh: String {
        var lines = [CompletionScripts.zshHead]
        lines.append("_flock_cache_valued=(\(spellingsWithValue.joined(separator: " ")))")
        lines.append("_flock_cache_groups=(\(groups.joined(separator: " ")))")
        lines.append("_flock_cache_runners=(\(runners.joined(separator: " ")))")
        lines += ["_flock_cache_words() {", "    case $1 in", "        '') entries=("]
        lines +=
            firstWords.map { "            \(described($0.word, $0.summary))" } + ["        ) ;;"]
        for group in groups {
            lines.append("        \(group)) entries=(")
            lines += secondWords(of: group).map { "            \(described($0.word, $0.summary))" }
            lines.append("        ) ;;")
        }
        lines += ["    esac", "}", "_flock_cache_options() {", "    case $1 in"]
        for verb in verbs {
            lines.append("        '\(verb.name)') entries=(")
            lines += allOptions(of: verb).flatMap { option in
                spellings(option).map { "            \(described($0, option.help))" }
            }
            lines.append("        ) ;;")
        }
        lines.append("        *) entries=(")
        lines += (Option.everywhere + [Option.version]).flatMap { option in
            spellings(option).map { "            \(described($0, option.help))" }
        }
        lines += ["        ) ;;", "    esac", "}", "_flock_cache_source() {", "    case $1 in"]
        for verb in verbs {
            if let source = source(of: verb) {
                lines.append("        '\(verb.name)') source_name=\(source) ;;")
            }
        }
        lines += ["    esac", "}", CompletionScripts.zshTail]
        return lines.joined(separator: "\n")
    }

    /// `word:what it means`, quoted for zsh.
    private func described(_ word: String, _ text: String) -> String {
        "'" + word + ":" + text.substituting("'\\''", for: "'").substituting("\\:", for: ":") + "'"
    }

    private var fish: String {
        var lines = [CompletionScripts.fishHead]
        lines.append("set -g __flock_cache_valued \(spellingsWithValue.joined(separator: " "))")
        lines.append("set -g __flock_cache_groups \(groups.joined(separator: " "))")
        for entry in firstWords {
            lines.append(
                "complete -c flock-cache -n '__flock_cache_is \"\"' -a \(entry.word) -d \(fishText(entry.summary))"
            )
        }
        for group in groups {
            for entry in secondWords(of: group) {
                lines.append(
                    "complete -c flock-cache -n '__flock_cache_is \(group)' -a \(entry.word) -d "
                        + fishText(entry.summary))
            }
        }
        for option in Option.everywhere { lines.append(fishLine(option, condition: "true")) }
        lines.append(fishLine(Option.version, condition: "__flock_cache_is \"\""))
        for verb in verbs {
            let condition = "__flock_cache_is \"\(verb.name)\""
            lines += verb.options.map { fishLine($0, condition: condition) }
            if let source = source(of: verb) {
                lines.append(
                    "complete -c flock-cache -n '\(condition)' -a '(__flock_cache_\(source))'")
            }
        }
        return lines.joined(separator: "\n")
    }

    private func fishLine(_ option: Option, condition: String) -> String {
        let letter = option.short.map { " -s \($0)" } ?? ""
        let value = option.kind == nil ? "" : " -r"
        return "complete -c flock-cache -n '\(condition)' -l \(option.name)\(letter)\(value) -d "
            + fishText(option.help)
    }

    private func fishText(_ text: String) -> String {
        "'" + text.substituting("\\\\", for: "\\").substituting("\\'", for: "'") + "'"
    }
}
