import Testing

@testable import FlockCacheCommand

/// The table of commands and options, and what a command gets from the parser, in process.
struct OptionTableTests {
    private static func parse(
        _ line: String, variables: [String: String] = [:]
    ) throws -> Invocation {
        let environment = Environment(
            arguments: line.split(separator: " ").map { Array($0.utf8) },
            variable: { name in variables[name.description].map { Array($0.utf8) } })
        environment.variables = { variables.map { Array("\($0.key)=\($0.value)".utf8) } }
        guard case .run(_, let invocation) = try ArgumentParser.parse(environment, verbs: Verb.all)
        else { throw NoInvocation() }
        return invocation
    }

    private struct NoInvocation: Error {}

    private static func text(_ entries: [[UInt8]]) -> Set<String> {
        Set(entries.map { String(decoding: $0, as: UTF8.self) })
    }

    @Test func noCommandHasTwoOptionsOfOneNameOrLetter() {
        for verb in Verb.all {
            let options = verb.options + Option.everywhere
            let letters = options.compactMap(\.short)
            #expect(Set(options.map(\.name)).count == options.count, "\(verb.name)")
            #expect(Set(letters).count == letters.count, "\(verb.name)")
        }
    }

    @Test func anOptionHasTheSameLetterWithEveryCommand() {
        var letters: [String: Character?] = [:]
        for option in Verb.all.flatMap(\.options) {
            #expect(letters[option.name, default: option.short] == option.short, "\(option.name)")
            letters[option.name] = option.short
        }
    }

    @Test func commandsGetValuesAsWhatTheyAre() throws {
        let claim = try Self.parse("claim -w 5m --max-age=1.5 --owner none --stale-after 250ms k")
        #expect(claim.waitIfTold().limit == .seconds(300))
        #expect(claim.duration(.maxAge) == .milliseconds(1500))
        #expect(claim.duration(.staleAfter) == .milliseconds(250))
        guard case .nobody? = claim.owner(.owner) else {
            Issue.record("--owner none is a process")
            return
        }
        let reap = try Self.parse("reap --max-bytes 2K --max-entries 3")
        #expect(reap.size(.maxBytes) == 2048)
        for (text, size) in [
            ("4096", 4096), ("2k", 2048), ("2KiB", 2048), ("1.5G", 3 << 29), ("2T", 2 << 40),
            ("0.5K", 512),
        ] {
            #expect(try Self.parse("reap --max-bytes \(text)").size(.maxBytes) == size)
        }
        #expect(reap.count(.maxEntries) == 3)
        let lock = try Self.parse("lock -n -E 7 --slots 2 k -- true -n")
        #expect(lock.exitCode(.conflictCode) == 7)
        #expect(lock.count(.slots) == 2)
        #expect(lock.command == [Array("true".utf8), Array("-n".utf8)])
        #expect(try Self.parse("init --mode 0770").mode(.mode) == 0o770)
        #expect(try Self.parse("finalize --generation 9 k v").number(.generation) == 9)
        #expect(try Self.parse("lease acquire --owner 1 n").number(.leaseOwner) == 1)
    }

    @Test func ofAnOptionThatStandsTwiceTheLastCounts() throws {
        let invocation = try Self.parse("get --max-age 1 k --max-age 2")
        #expect(invocation.duration(.maxAge) == .seconds(2))
    }

    private struct WaitCase: Sendable {
        let line: String
        let variable: String?
        /// nil is without end.
        let limit: Duration?

        static let all = [
            WaitCase(line: "run k true", variable: nil, limit: .seconds(300)),
            WaitCase(line: "run k true", variable: "", limit: .seconds(300)),
            WaitCase(line: "run k true", variable: "7", limit: .seconds(7)),
            WaitCase(line: "run k true", variable: "forever", limit: nil),
            WaitCase(line: "run -w 3 k true", variable: "7", limit: .seconds(3)),
            WaitCase(line: "run -n k true", variable: "7", limit: .zero),
            WaitCase(line: "run -w 0 k true", variable: "7", limit: .zero),
            WaitCase(line: "run -w 0 -n k true", variable: "7", limit: .zero),
        ]
    }

    @Test(arguments: WaitCase.all)
    private func aWaitIsTheOptionsElseTheVariablesElseFiveMinutes(_ wait: WaitCase) throws {
        let variables = wait.variable.map { ["FLOCK_CACHE_WAIT": $0] } ?? [:]
        let invocation = try Self.parse(wait.line, variables: variables)
        #expect(try invocation.waitByDefault().limit == wait.limit)
    }

    @Test func aCommandInheritsTheEnvironmentThatWasInjected() throws {
        let invocation = try Self.parse(
            "--store /s lock k -- true",
            variables: [
                "PATH": "/bin", "FLOCK_CACHE_DIR": "/other", "FLOCK_CACHE_SLOT": "3",
                "FLOCK_CACHE_SLOTS": "x",
            ])
        let variables = try invocation.variables([(.key, Array("k".utf8)), (.slot, nil)])
        #expect(
            Self.text(variables) == [
                "PATH=/bin", "FLOCK_CACHE_SLOTS=x", "FLOCK_CACHE_KEY=k", "FLOCK_CACHE_DIR=/s",
            ])
    }

    @Test func whatIsHeldIsReadFromTheEnvironmentThatWasInjected() throws {
        let held = try Self.parse(
            "get k", variables: ["FLOCK_CACHE_HELD": "claim/000000000000001f lock/1/2/3/x/k"])
        #expect(held.environment.setting(.held)?.count == 37)
        #expect(try Self.parse("get k").environment.setting(.held) == nil)
    }
}
