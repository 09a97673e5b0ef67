import Foundation
import Testing
import TestSupport

@testable import TestHelpers

/// What `--json` prints is read here by somebody else's parser.
@Suite(.ownThreads) struct JSONTests {
    /// The objects of the lines; a line that does not parse is an issue.
    private func objects(_ bytes: [UInt8], _ what: String) throws -> [[String: Any]] {
        try bytes.split(separator: 10).map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line))
            return try #require(object as? [String: Any], "\(what)")
        }
    }

    @Test func everyCommandsResultsAndErrorsParse() throws {
        let stage = Stage()
        stage.publish("k", "quote \" and \\ and \u{1} and é\n")
        stage.run("claim", "p/1")
        stage.claimForTheDead("dead")
        let lines: [(line: String, code: Int32, names: Set<String>)] = [
            ("claim new", 0, ["state", "key", "text", "generation"]),
            ("claim dead", 0, ["state", "key", "text", "generation", "taken-over-from"]),
            ("claim k", 1, ["state", "key", "text", "generation", "age", "encoding", "value"]),
            ("claim p/1", 75, ["state", "key", "text", "holder"]),
            ("claim p/1 -w 10ms", 124, ["state", "key", "text", "holder"]),
            (
                "claim k --max-age 0 --owner none --stale-after 1ms", 0,
                ["state", "key", "text", "generation"]
            ),
            ("get k", 0, ["state", "key", "text", "generation", "age", "encoding", "value"]),
            ("get p/1", 75, ["state", "key", "text", "holder"]),
            ("get absent", 1, ["state", "key", "text"]),
            (
                "finalize p/1 v --owner $FLOCK_CACHE_OWNER", 0,
                ["state", "key", "text", "generation"]
            ),
            ("finalize absent v", 76, ["state", "key", "text", "message"]),
            ("abandon absent", 0, []), ("remove absent", 0, []),
            ("stats", 0, ["pending", "ready", "bytes", "damaged", "exact"]),
            ("version", 0, ["version", "format", "newest_format"]),
            ("reap --dry-run", 0, ["key", "text", "reason"]), ("init", 0, []),
            ("init --durable", 73, []), ("nonsense", 64, []), ("get", 64, []), ("get ''", 64, []),
            ("claim k --max-age", 64, []), ("--store /proc/self/mem get k", 66, []),
            ("claim new --owner 0", 78, []), ("finalize dead --file /nowhere", 74, []),
        ]
        for (line, code, names) in lines {
            let outcome = stage.line("--json \(line)")
            #expect(outcome.code == code, "\(line): \(outcome)")
            let results = try objects(outcome.output, line)
            // The scripts that claimed have ended: there is more than one claim to reap.
            let most = names.isEmpty ? 0 : line.hasPrefix("reap") ? 9 : 1
            #expect((min(most, 1)...most).contains(results.count), "\(line): \(outcome)")
            for result in results { #expect(Set(result.keys) == names, "\(line): \(outcome)") }
            let errors = try objects(Array(outcome.error.utf8), line)
            for error in errors {
                #expect(error["message"] is String, "\(line)")
                if error["code"] != nil {
                    #expect(Set(error.keys) == ["code", "message", "exit"], "\(line)")
                    #expect(error["exit"] as? Int == Int(code), "\(line)")
                }
            }
            if code >= 64 && ![75, 76, 124].contains(code) {
                #expect(errors.contains { $0["code"] is String }, "\(line): \(outcome)")
            }
        }
    }

    @Test func aListingIsAnObjectALine() throws {
        let stage = Stage()
        stage.publish("a/b", "value")
        stage.run("claim", "-q", "p")
        let list = try objects(stage.run("--json", "list").output, "list")
        #expect(list.count == 2)
        let ready = try #require(list.first { $0["state"] as? String == "ready" })
        #expect(ready["key"] as? String == "a%2Fb" && ready["size"] as? Int == 5)
        let pending = try #require(list.first { $0["state"] as? String == "pending" })
        let holder = try #require(pending["holder"] as? [String: Any])
        #expect(holder["pid"] is Int && holder["liveness"] as? String == "alive")
        #expect(
            Set(holder.keys) == ["pid", "command", "user", "for", "liveness", "stopped", "child"])
        #expect(holder["stopped"] as? Bool == false && holder["user"] is String)
        // Below 2^53: whoever reads numbers as floating point reads them exactly.
        let generation = try #require(pending["generation"] as? UInt64)
        #expect(generation < 1 << 53)
    }

    /// The value of an object, decoded as it says.
    private func value(_ object: [String: Any]) throws -> [UInt8] {
        let text = try #require(object["value"] as? String)
        switch object["encoding"] as? String {
        case "utf-8": return Array(text.utf8)
        case "base64": return Array(try #require(Data(base64Encoded: text)))
        default:
            Issue.record("encoding \(object["encoding"] ?? "none")")
            return []
        }
    }

    @Test func valuesComeThroughJSONByteForByte() throws {
        var random = Seeded("valuesComeThroughJSONByteForByte")
        var values: [[UInt8]] = [
            [], [0], [0xff], Array(0...255), Array("\u{0}\u{1f}\u{7f}\"\\/\u{2028}é😀".utf8),
            // Not UTF-8: overlong, a surrogate, beyond the last, cut off, a lone continuation.
            [0xc0, 0xaf], [0xe0, 0x80, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5],
            [0x61, 0xe2, 0x82], [0x80], [0xf0, 0x9f, 0x98],
            // The first and the last of each length.
            [0xc2, 0x80, 0xdf, 0xbf, 0xe0, 0xa0, 0x80, 0xed, 0x9f, 0xbf, 0xee, 0x80, 0x80],
            [0xf0, 0x90, 0x80, 0x80, 0xf4, 0x8f, 0xbf, 0xbf],
        ]
        // Lengths around the pieces in which values are read and encoded.
        for count in [1, 2, 3, 4, 5, 4095, 4096, 65536, 65537, 262_143, 262_144, 262_145, 600_001] {
            values.append((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
        // A character that is cut by the end of such a piece is still one character.
        values.append(Array(String(repeating: "é", count: 262_144).utf8).dropLast(1) + [0xa9])
        values.append([0x61] + Array(String(repeating: "😀", count: 100_000).utf8))
        let stage = Stage()
        for (index, value) in values.enumerated() {
            let key = "k\(index)"
            stage.run("claim", key)
            write(value, to: stage.directory("value"))
            let finalize = stage.run("finalize", key, "--file", stage.directory("value"))
            #expect(finalize.code == 0, "\(finalize)")
            #expect(stage.run("get", key).output == value, "value \(index), raw")
            let got = stage.run("get", "--json", key)
            let object = try #require(try objects(got.output, key).first)
            #expect(try self.value(object) == value, "value \(index), JSON")
            let isText = String(validating: value, as: UTF8.self) != nil
            #expect(
                object["encoding"] as? String == (isText ? "utf-8" : "base64"), "value \(index)")
        }
    }
}
