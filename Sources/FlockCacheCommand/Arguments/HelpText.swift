// The help, made from the table of commands.

extension Verb {
    /// `claim [-w D] … KEY`.
    private var usage: String {
        let options = options.map { option in
            let name = option.short.map { "-\($0)" } ?? "--\(option.name)"
            let text = name + (option.valueName.map { " " + $0 } ?? "")
            return option.isNeeded ? text : "[" + text + "]"
        }
        let command = takesCommand ? [takesMany ? "--" : "[--]", "COMMAND…"] : []
        return (["flock-cache", name] + options + operands + command).joined(separator: " ")
    }

    private var helpText: String {
        var lines = [summary, "", "usage: " + usage, ""] + [detail, ""]
        lines += Self.columns((options + Option.everywhere).map { ($0.spelling, $0.help) })
        lines += ["", "example:", "  " + example]
        return lines.joined(separator: "\n")
    }

    /// Of one in full, of several a line each, of all with what holds for all.
    static func help(of verbs: [Verb], among all: [Verb]) -> String {
        if verbs.count == 1 { return verbs[0].helpText }
        if verbs.count == all.count { return overview(of: all) }
        let more = ["", "More of a command: flock-cache help \(verbs.first?.name ?? "")"]
        return (columns(verbs.map { ($0.name, $0.summary) }) + more).joined(separator: "\n")
    }

    private static func overview(of all: [Verb]) -> String {
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
