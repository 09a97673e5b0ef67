/// A manual page as man(7) has it, made from a page of the help.
enum ManualPage {
    /// Of one command, or with nil the page of the whole program.
    static func roff(of verb: Verb?, among all: [Verb], version: String) -> String {
        let name = verb.map {
            "flock-cache-" + $0.name.split(separator: " ").joined(separator: "-")
        }
        let page = verb?.page ?? Verb.overview(of: all)
        var lines = beginning(of: page, named: name ?? "flock-cache", version)
        if verb == nil {
            for verb in all {
                lines += [".SH " + quoted("flock-cache \(verb.name)")]
                lines += paragraph(verb.summary)
                lines += [".PP", ".nf", "\\fB" + escaped(verb.usage) + "\\fR", ".fi"]
                lines += sections(of: verb.page, heading: ".SS", withGeneral: false)
            }
            for page in [Verb.exitCodes, Verb.environment] {
                lines += sections(of: page, heading: ".SH")
            }
        }
        return (lines + end).joined(separator: "\n")
    }

    /// Of a topic.
    static func roff(of page: HelpPage, named topic: String, version: String) -> String {
        (beginning(of: page, named: "flock-cache-" + topic, version) + end)
            .joined(separator: "\n")
    }

    private static func beginning(
        of page: HelpPage, named name: String, _ version: String
    ) -> [String] {
        [
            ".TH \(quoted(name.uppercased())) 1 \"\" "
                + "\(quoted("flock-cache " + version)) \"User Commands\"",
            ".SH NAME",
            escaped(name) + " \\- " + escaped(title(page.summary)),
            ".SH SYNOPSIS", ".nf", "\\fB" + escaped(page.usage) + "\\fR", ".fi",
        ] + sections(of: page, heading: ".SH")
    }

    private static let end = [".SH SEE ALSO", "\\fBflock\\fR(1), \\fBflock\\fR(2)"]

    /// The summary without its full stop, as a page's name has it.
    private static func title(_ summary: String) -> String {
        let text = summary.hasSuffix(".") ? String(summary.dropLast()) : summary
        return text.prefix(1).lowercased() + text.dropFirst()
    }

    /// - Parameter withGeneral: whether the options of all commands are listed; the page of all commands has them once.
    private static func sections(
        of page: HelpPage, heading: String, withGeneral: Bool = true
    ) -> [String] {
        page.sections.filter { withGeneral || $0.title != HelpPage.generalOptions }.flatMap {
            section in
            // A page of one command describes; in the page of all, that follows the summary.
            let title = section.title.isEmpty && heading == ".SH" ? "Description" : section.title
            return
                (title.isEmpty
                ? [] : [heading + " " + quoted(heading == ".SH" ? title.uppercased() : title)])
                + body(section.body)
        }
    }

    private static func body(_ body: HelpPage.Body) -> [String] {
        switch body {
        case .paragraphs(let paragraphs): paragraphs.flatMap(paragraph)
        case .rows(let rows):
            rows.flatMap { row in
                let word = row.word.drop { $0 == " " }
                return [".TP", "\\fB" + escaped(String(word)) + "\\fR", line(row.text)]
            }
        case .lines(let lines): [".PP", ".EX"] + lines.map(line) + [".EE"]
        }
    }

    private static func paragraph(_ text: String) -> [String] { [".PP", line(text)] }

    /// A line of text: not a request of roff, whatever it begins with.
    private static func line(_ text: String) -> String {
        let text = escaped(text)
        return text.hasPrefix(".") || text.hasPrefix("'") ? "\\&" + text : text
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "…": result += "..."
            case "'": result += "\\(aq"
            case "^": result += "\\(ha"
            case "~": result += "\\(ti"
            case "`": result += "\\(ga"
            default: result.append(character)
            }
        }
        return result
    }

    private static func quoted(_ text: String) -> String { "\"\(escaped(text))\"" }
}
