import Foundation
import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `put` and `increment`: what they print, and how they end.
@Suite(.ownThreads) struct ValueCommandTests {
    private func members(_ outcome: Outcome) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(outcome.output))
        return try #require(object as? [String: Any], "\(outcome)")
    }

    @Test func putPrintsTheGeneration() throws {
        let stage = Stage()
        let first = stage.run("put", "k", "one")
        let generation = try #require(first.generation)
        #expect(first.code == 0)
        #expect(stage.line("list").text.hasPrefix("ready\tk\t\(generation)\t"))
        let absent = stage.run("put", "--if-absent", "k", "two")
        #expect(absent.code == 1 && absent.generation == generation, "\(absent)")
        let other = stage.run("put", "--if-generation", "\(generation + 1)", "k", "two")
        #expect(other.code == 1 && other.generation == generation, "\(other)")
        let gone = stage.run("put", "--if-generation=\(generation)", "nothing", "two")
        #expect(gone.code == 1 && gone.output.isEmpty && gone.error.isEmpty, "\(gone)")
        #expect(stage.run("get", "k").text == "one")
        let second = stage.run("put", "k", "--if-generation", "\(generation)", "--", "-two")
        #expect(second.code == 0 && second.generation ?? 0 > generation)
        #expect(stage.run("get", "k").text == "-two")
        write(pattern(200_000), to: stage.directory("large"))
        #expect(stage.run("put", "k", "--file", stage.directory("large")).code == 0)
        #expect(stage.run("get", "k").output == pattern(200_000))
        #expect(stage.line("stats").text.hasPrefix("pending 0\nready 1\n"))
    }

    @Test func putIsRefusedWhileSomebodyIsAtIt() {
        let stage = Stage()
        stage.run("claim", "k")
        for line in ["put k v", "put k v --if-absent", "increment k", "put k --file /etc/passwd"] {
            let outcome = stage.line(line)
            #expect(outcome.code == 75 && outcome.output.isEmpty, "\(line): \(outcome)")
            #expect(outcome.error.contains("'k' is busy: claimed"), "\(line): \(outcome)")
        }
        stage.claimForTheDead("dead")
        #expect(stage.run("put", "dead", "v").code == 0)
        #expect(stage.entryFiles.count == 2)
    }

    @Test func incrementPrintsTheNumber() {
        let stage = Stage()
        let lines: [(String, Int32, String)] = [
            ("increment k", 0, "1"), ("increment k 41", 0, "42"), ("increment k -50", 0, "-8"),
            ("increment k -- -2", 0, "-10"), ("increment -q k -1 --max=0", 0, "-11"),
            ("increment --max 5 k 100", 1, "-11"), ("increment --min -11 k -1", 1, "-11"),
            ("increment k --min -20 -9", 0, "-20"), ("increment k 9223372036854775807", 0, ""),
            ("increment k 30", 1, "9223372036854775787"),
            ("increment absent --min 5", 1, "0"), ("get absent", 1, ""),
            ("increment l -9223372036854775808", 0, "-9223372036854775808"),
        ]
        for (line, code, text) in lines {
            let outcome = stage.line(line)
            #expect(outcome.code == code, "\(line): \(outcome)")
            if !text.isEmpty { #expect(outcome.text == text + "\n", "\(line): \(outcome)") }
        }
        #expect(stage.run("get", "l").text == "-9223372036854775808", "the digits alone")
        stage.run("put", "word", "seven")
        let word = stage.run("increment", "word")
        #expect(
            word.code == 65 && word.output.isEmpty && word.error.contains("not a decimal number"))
        #expect(stage.run("get", "word").text == "seven")
    }

    @Test(arguments: [
        "put k", "put k v --file f", "put k v --if-absent --if-generation 5",
        "put k v --if-generation -1", "put k v --if-generation x", "put", "put k v w",
        "increment", "increment k x", "increment k 1.5", "increment k ''", "increment k 1 2",
        "increment -5 k", "increment k 9223372036854775808", "increment k --min 5 --max 4",
        "increment k --min x", "increment k -5x", "increment k -- --5", "increment ''",
        "put '' v",
    ])
    func badCommandLinesAreUsage(line: String) {
        let stage = Stage()
        let outcome = stage.line(line)
        #expect(outcome.code == 64 && outcome.output.isEmpty, "\(line): \(outcome)")
        #expect(!FileManager.default.fileExists(atPath: stage.store), "\(line)")
    }

    @Test func jsonTellsTheSame() throws {
        let stage = Stage()
        let set = try members(stage.line("--json put k v"))
        #expect(Set(set.keys) == ["state", "key", "text", "generation"])
        #expect(set["state"] as? String == "ready")
        let unmet = stage.line("--json put k w --if-absent")
        #expect(unmet.code == 1)
        #expect(try members(unmet)["state"] as? String == "unchanged")
        #expect(try members(unmet)["generation"] as? Int == set["generation"] as? Int)
        let absent = try members(stage.line("--json put a w --if-generation 5"))
        #expect(absent["state"] as? String == "unchanged" && absent["generation"] == nil)
        let counted = try members(stage.line("--json increment n 9007199254740993"))
        #expect(counted["state"] as? String == "ready")
        #expect(counted["value"] as? String == "9007199254740993")
        let read = try members(stage.line("--json get n"))
        #expect(read["value"] as? String == "9007199254740993")
        #expect(read["generation"] as? Int == counted["generation"] as? Int)
        let beyond = stage.line("--json increment n --max 5")
        #expect(beyond.code == 1)
        #expect(try members(beyond)["state"] as? String == "unchanged")
        #expect(try members(beyond)["value"] as? String == "9007199254740993")
        stage.run("claim", "p")
        for line in ["--json put p v", "--json increment p"] {
            let pending = stage.line(line)
            #expect(pending.code == 75)
            #expect(try members(pending)["state"] as? String == "pending")
            #expect(
                (try members(pending)["holder"] as? [String: Any])?["pid"] as? Int == Int(getpid()))
        }
    }
}
