import Foundation
import Testing
import TestSupport

@testable import TestHelpers

/// `docs/reference/json.md` names every field and every state that the command prints, and none that it does not.
@Suite(.ownThreads) struct JSONPageTests {
    private static let page: String = {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(3)
        let path = "/" + parts.joined(separator: "/") + "/docs/reference/json.md"
        return (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    }()

    /// The words in backquotes at the beginning of the rows of a section's table.
    private func words(of section: String) -> Set<String> {
        let part = Self.page.components(separatedBy: "\n## \(section)\n").last ?? ""
        let rows = part.components(separatedBy: "\n## ")[0].split(separator: "\n")
        return Set(
            rows.filter { $0.hasPrefix("| `") }
                .compactMap { $0.split(separator: "`").dropFirst().first.map(String.init) })
    }

    private func objects(_ bytes: [UInt8]) throws -> [[String: Any]] {
        try bytes.split(separator: 10).map {
            try #require(try JSONSerialization.jsonObject(with: Data($0)) as? [String: Any])
        }
    }

    @Test func thePageNamesWhatIsPrinted() throws {
        let stage = Stage()
        stage.publish("k", "v")
        stage.run("claim", "p")
        stage.claimForTheDead("dead")
        stage.run("journal", "append", "j", "x")
        var fields: Set<String> = []
        var states: Set<String> = []
        var codes: Set<String> = []
        let lines = [
            "claim new", "reap --dry-run", "claim dead", "claim k", "claim p", "claim p -w 10ms",
            "get absent",
            "get p", "get k",
            "finalize absent v", "put k w", "put k w --if-absent", "increment n",
            "increment n --max 1",
            "lease acquire l --ttl 1h --slots 2", "lease acquire m --ttl 1h",
            "lease acquire m --ttl 1h",
            "lease check m --generation 1", "lease release m --force", "lease release m --force",
            "who", "list",
            "stats", "version", "doctor", "journal list", "journal read j",
            "journal append j y", "wait p -n", "wait absent", "nonsense", "get ''",
            "--store /usr get k",
            "init --durable", "watch", "claim --owner 0 x", "--store /proc get k", "increment k",
            "finalize p --file /nowhere",
        ]
        for line in lines {
            let outcome = stage.line("--json \(line)")
            for object in try objects(outcome.output) {
                fields.formUnion(object.keys)
                if let holder = object["holder"] as? [String: Any] { fields.formUnion(holder.keys) }
                if let state = object["state"] as? String { states.insert(state) }
            }
            for object in try objects(Array(outcome.error.utf8)) {
                fields.formUnion(object.keys)
                if let code = object["code"] as? String { codes.insert(code) }
            }
        }
        let known = words(of: "Fields")
        #expect(fields.subtracting(known).isEmpty, "not on the page: \(fields.subtracting(known))")
        // Of changes, and of what needs another process.
        let unseen: Set<String> = ["event", "waiting", "host"]
        #expect(
            known.subtracting(fields).subtracting(unseen).isEmpty, "\(known.subtracting(fields))")
        #expect(states.subtracting(words(of: "States")).isEmpty, "\(states)")
        #expect(codes.subtracting(words(of: "Errors")).isEmpty, "\(codes)")
        #expect(codes.count >= 7)
    }
}
