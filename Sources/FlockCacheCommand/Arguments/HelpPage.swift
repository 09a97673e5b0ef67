/// What is said of a command, in sections; the help, the manual and nothing else print it.
///
/// Made from the table of commands alone, so that none of them can say what the parser does not do.
struct HelpPage {
    /// Two columns: a word, and what it means.
    typealias Rows = [(word: String, text: String)]

    enum Body {
        case paragraphs([String])
        case rows(Rows)
        /// Lines that stand as they are.
        case lines([String])
    }

    struct Section {
        let title: String
        let body: Body
    }

    /// One sentence.
    let summary: String
    let usage: String
    let sections: [Section]

    static let width = 80
    /// The heading of the options that all commands have.
    static let generalOptions = "General options"

    /// The page as plain text, at most 80 columns wide.
    var text: String {
        var lines = Self.wrapped(summary, to: Self.width)
        lines += ["", "Usage: " + usage]
        for section in sections {
            lines.append("")
            if !section.title.isEmpty { lines.append(section.title + ":") }
            switch section.body {
            case .paragraphs(let paragraphs):
                for (index, paragraph) in paragraphs.enumerated() {
                    if index > 0 { lines.append("") }
                    lines += Self.wrapped(paragraph, to: Self.width)
                }
            case .rows(let rows): lines += Self.columns(rows)
            case .lines(let own): lines += own.map { "  " + $0 }
            }
        }
        return lines.joined(separator: "\n")
    }

    /// Words beside their meanings; a word that is too long has its meaning on the next line.
    static func columns(_ rows: Rows) -> [String] {
        let most = 26
        let column = rows.map(\.word.count).filter { $0 <= most }.max() ?? 0
        return rows.flatMap { row in
            let indent = String(repeating: " ", count: column + 4)
            var texts = wrapped(row.text, to: width - indent.count)
            if texts.isEmpty { texts = [""] }
            guard row.word.count <= column else {
                return ["  " + row.word] + texts.map { indent + $0 }
            }
            let first = "  " + row.word + String(repeating: " ", count: column - row.word.count + 2)
            return [first + texts[0]] + texts.dropFirst().map { indent + $0 }
        }
    }

    /// A paragraph in lines.
    static func wrapped(_ text: String, to width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty && line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        if !line.isEmpty { lines.append(line) }
        return lines
    }
}

extension Verb {
    /// `flock-cache lease renew --generation G [OPTIONS] NAME`.
    var usage: String {
        let needed = options.filter(\.isNeeded).map {
            "--\($0.name)" + ($0.valueName.map { " " + $0 } ?? "")
        }
        let command = takesCommand ? [takesMany ? "--" : "[--]", "COMMAND [ARG…]"] : []
        return (["flock-cache", name] + needed + ["[OPTIONS]"] + operands + command)
            .joined(separator: " ")
    }

    var page: HelpPage {
        var sections = [HelpPage.Section(title: "", body: .paragraphs(paragraphs))]
        let arguments = operandRows
        if !arguments.isEmpty { sections.append(.init(title: "Arguments", body: .rows(arguments))) }
        if !options.isEmpty {
            sections.append(.init(title: "Options", body: .rows(options.map(\.row))))
        }
        sections += [
            .init(title: HelpPage.generalOptions, body: .rows(Option.everywhere.map(\.row))),
            .init(title: "Exit status", body: .rows(exitRows)),
            .init(title: "Examples", body: .lines(examples)),
        ]
        return HelpPage(summary: summary, usage: usage, sections: sections)
    }

    private var paragraphs: [String] {
        detail.split(separator: "\n").map(String.init)
    }

    var examples: [String] { example.split(separator: "\n").map(String.init) }

    private var exitRows: HelpPage.Rows {
        let own: HelpPage.Rows = exits.split(separator: "\n").map { line in
            let code = line.prefix { $0 != " " }
            return (String(code), String(line.dropFirst(code.count + 1)))
        }
        return own + [("other", "an error; see 'flock-cache help exit-codes'")]
    }

    private var operandRows: HelpPage.Rows {
        let own: HelpPage.Rows = operands.map { operand in
            let name = operand.filter { $0 != "[" && $0 != "]" }
            return (name, Self.meaning(of: name, in: self))
        }
        return own + (takesCommand ? [("COMMAND", "the program to run, and its arguments")] : [])
    }

    private static func meaning(of operand: String, in verb: Verb) -> String {
        switch operand {
        case "KEY" where verb.name == "who": "a key; everything that is held by default"
        case "KEY": "a key, 1 to 200 bytes: a name, or the hash of what is computed"
        case "KEY…" where verb.group == .locks: "the locks to hold: any names, up to 4096 bytes"
        case "KEY…": "keys, 1 to 200 bytes each"
        case "NAME" where verb.group == .journals: "the name of the journal"
        case "NAME": "the name of the lease"
        case "VALUE": "the value, up to 1 GiB"
        case "TEXT": "the record; standard input by default"
        case "N": "the number to add (default: 1); may be negative"
        case "COMMAND…": "a command, such as lock or lease run, or a topic"
        case "SHELL": "bash, zsh or fish"
        default: "see above"
        }
    }
}

extension Option {
    /// Its spelling, and what it does; with what it cannot be left out.
    var row: (word: String, text: String) { (spelling, isNeeded ? help + " (required)" : help) }
}
