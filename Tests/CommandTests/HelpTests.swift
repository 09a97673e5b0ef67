import Testing
import TestSupport

@testable import FlockCacheCommand

/// What the table of commands is made into: help, manual, completions.
struct HelpTests {
    private static var pages: [(name: String, text: String)] {
        Verb.all.map { ($0.name, $0.page.text) }
            + [
                ("help", Verb.overview(of: Verb.all).text), ("codes", Verb.exitCodes.text),
                ("environment", Verb.environment.text),
                ("lease", Verb.help(of: Verb.all.filter { $0.group == .leases }, among: Verb.all)),
            ]
    }

    @Test func noPageIsWiderThan80Columns() {
        for page in Self.pages {
            for line in page.text.split(separator: "\n") {
                #expect(line.count <= 80, "\(page.name): \(line)")
            }
        }
    }

    @Test func everyPageHasTheUsualParts() {
        for verb in Verb.all {
            let text = verb.page.text
            for part in [
                "Usage: flock-cache \(verb.name)", "Exit status:", "Examples:", "General options:",
            ] {
                #expect(text.contains(part), "\(verb.name)")
            }
            #expect(text.contains("Options:\n") == !verb.options.isEmpty, "\(verb.name)")
            #expect(text.contains("Arguments:\n") == (!verb.operands.isEmpty || verb.takesCommand))
            // Begins with a verb, and is a sentence.
            #expect(verb.summary.hasSuffix(".") && verb.summary.first?.isUppercase == true)
            #expect(
                !verb.examples.isEmpty && verb.examples.allSatisfy { $0.contains("flock-cache") })
            for operand in verb.page.sections.first(where: { $0.title == "Arguments" }).map(
                Self.rows) ?? []
            {
                #expect(operand.text != "see above", "\(verb.name) \(operand.word)")
            }
        }
    }

    private static func rows(_ section: HelpPage.Section) -> HelpPage.Rows {
        if case .rows(let rows) = section.body { rows } else { [] }
    }

    @Test func everyOptionIsInHelpManualAndCompletions() {
        let manual = ManualPage.roff(of: nil, among: Verb.all, version: "1")
            .replacing("\\-", with: "-")
        let completions = Completions(verbs: Verb.all)
        let bash = completions.script(for: .bash).split(separator: "\n")
        let fish = completions.script(for: .fish).split(separator: "\n")
        let zsh = completions.script(for: .zsh)
        for verb in Verb.all {
            let own = ManualPage.roff(of: verb, among: Verb.all, version: "1")
                .replacing("\\-", with: "-")
            #expect(manual.contains("flock-cache \(verb.name)"))
            let words =
                bash.first { $0.hasPrefix("        '\(verb.name)') echo '-") }?
                .split { " '".contains($0) } ?? []
            for option in verb.options + Option.everywhere {
                #expect(verb.page.text.contains("--" + option.name), "\(verb.name) \(option.name)")
                #expect(own.contains("--" + option.name) && manual.contains("--" + option.name))
                #expect(words.contains { $0 == "--" + option.name }, "\(verb.name) \(option.name)")
                #expect(zsh.contains("'--\(option.name):"), "\(option.name)")
                #expect(
                    fish.contains { line in
                        line.contains(" -l \(option.name) ")
                            && (line.contains("\"\(verb.name)\"") || line.contains("-n 'true'"))
                    }, "\(verb.name) \(option.name)")
            }
        }
    }

    /// Options that the parser insists on are shown as required.
    @Test(arguments: [
        ("lease renew", "--generation G"), ("lease check", "--generation G"),
        ("renew", "--generation G"),
        ("lease run", "--ttl D"),
    ])
    func requiredOptionsAreShownAsSuch(_ name: String, _ option: String) throws {
        let verb = try #require(Verb.all.first { $0.name == name })
        #expect(verb.usage.contains("\(name) \(option) "))
        #expect(verb.page.text.replacing("\n", with: " ").contains("(required)"))
        let stage = Stage()
        let outcome = stage.line(name == "lease run" ? "lease run n -- true" : "\(name) n")
        #expect(
            [64, 125].contains(outcome.code) && outcome.error.contains(option.prefix { $0 != " " }))
    }

    @Test func topicsAndTheVersionAreThere() {
        let stage = Stage()
        let codes = stage.run("help", "exit-codes")
        for code in ExitCode.allCases { #expect(codes.text.contains("  \(code.rawValue) ")) }
        let environment = stage.run("help", "environment").text
        for name in ["DIR", "WAIT", "OWNER", "KEY", "SLOT", "GENERATION", "HELD"] {
            #expect(environment.contains("FLOCK_CACHE_" + name))
        }
        for line in ["--version", "-V", "version", "-q --version"] {
            #expect(stage.line(line).text == stage.run("version").text, "\(line)")
        }
        #expect(stage.run("lock", "--help").text == stage.run("help", "lock").text)
    }
}
