#if Async

import TestSupport
import Testing

@testable import TestHelpers

/// Programs as newcomers write them: what is right compiles without a warning, and what is wrong fails with a message
/// that names the remedy.
@Suite(.ownThreads, .enabled(if: Compiler.works, "needs swiftc and the built module"))
struct NewcomerTests {
    private static let directory =
        "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Programs/"

    private static func programs(_ kind: String) -> [String] {
        names(in: directory + kind).filter { $0.hasSuffix(".swift") }.sorted()
            .map { kind + "/" + $0 }
    }

    private func compile(_ program: String) -> (text: String, outcome: Outcome) {
        let path = Self.directory + program
        let text = String(decoding: contents(of: path) ?? [], as: UTF8.self)
        // A single file is a main.swift unless it is told otherwise.
        let isMain = !text.contains("@main")
        let outcome = Compiler.check(
            file: path,
            ["-emit-sil", "-o", "/dev/null"] + (isMain ? [] : ["-parse-as-library"]))
        return (text, outcome)
    }

    @Test(arguments: programs("right"))
    func whatIsRightCompilesWithoutAWarning(_ program: String) {
        let outcome = compile(program).outcome
        #expect(outcome.code == 0 && outcome.error.isEmpty, "\(outcome)")
    }

    @Test(arguments: programs("wrong"))
    func whatIsWrongFailsWithTheRemedy(_ program: String) throws {
        let (text, outcome) = compile(program)
        let first = try #require(text.split(separator: "\n").first)
        let start = "// Fails with: "
        try #require(first.hasPrefix(start))
        #expect(outcome.error.contains(first.dropFirst(start.count)), "\(outcome)")
        // A warning is all that the compiler has for a result that is thrown away.
        #expect(outcome.code != 0 || outcome.error.contains("warning: result of call"))
    }

    @Test func thereAreTwentyOfThem() {
        #expect(Self.programs("right").count >= 10)
        #expect(Self.programs("wrong").count >= 10)
    }
}

#endif
