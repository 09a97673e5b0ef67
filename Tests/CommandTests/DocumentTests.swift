import Foundation
import Testing
import TestSupport

@testable import FlockCacheCommand

/// What the documents show is there: commands, options, pages, tests.
struct DocumentTests {
    private static let root: String = {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(3)
        return "/" + parts.joined(separator: "/")
    }()

    /// Paths from the root of the repository.
    private static let pages: [String] = {
        let names =
            FileManager.default.enumerator(atPath: root + "/docs")?
            .compactMap { $0 as? String } ?? []
        return ["README.md"] + names.filter { $0.hasSuffix(".md") }.map { "docs/" + $0 }.sorted()
    }()

    private static func text(_ page: String) -> String {
        (try? String(contentsOfFile: root + "/" + page, encoding: .utf8)) ?? ""
    }

    /// The lines of code blocks; of consoles what is typed.
    private static func commands(in page: String) -> [String] {
        var lines: [String] = []
        var block: Substring?
        for line in text(page).split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                block = block == nil ? line.dropFirst(3) : nil
                continue
            }
            switch block {
            case "sh": lines.append(String(line))
            case "console":
                if let dollar = line.firstIndex(of: "$"),
                    line.distance(from: line.startIndex, to: dollar) < 3
                {
                    lines.append(String(line[line.index(after: dollar)...]))
                }
            default: break
            }
        }
        return lines
    }

    @Test func eachCommandAndOptionThatIsShownExists() {
        var count = 0
        for page in Self.pages where page != "docs/changelog.md" {
            for line in Self.commands(in: page) {
                for part in line.components(separatedBy: "flock-cache ").dropFirst() {
                    check(part, "\(page): \(line)")
                    count += 1
                }
            }
        }
        #expect(count > 80)
    }

    /// What stands behind `flock-cache`, as far as it can be told without a shell.
    private func check(_ part: String, _ place: String) {
        let end = part.firstIndex { "|;)&>`#".contains($0) } ?? part.endIndex
        var words = part[..<end].split(separator: " ").map(String.init)
        while let first = words.first, first.hasPrefix("-") {
            words.removeFirst()
            if first == "--store", !words.isEmpty { words.removeFirst() }
        }
        guard let first = words.first, first.allSatisfy({ $0.isLetter }) else { return }
        let name = words.count > 1 ? first + " " + words[1] : first
        // A name in prose, such as "flock-cache for it".
        guard let verb = Verb.all.first(where: { $0.name == name || $0.name == first }) else {
            #expect(first == "version" || !Self.isCommandLike(first), "\(place)")
            return
        }
        for word in words.prefix(while: { $0 != "--" }) where word.hasPrefix("--") {
            let option = word.dropFirst(2).prefix { $0 != "=" }
            let isKnown = (verb.options + Option.everywhere).contains { $0.name == option }
            #expect(isKnown, "\(place): --\(option)")
        }
    }

    private static func isCommandLike(_ word: String) -> Bool {
        Verb.all.contains { $0.name.hasPrefix(word + " ") }
    }

    @Test func eachLinkLeadsToAFile() {
        for page in Self.pages where page != "docs/changelog.md" {
            let directory = (page as NSString).deletingLastPathComponent
            for part in Self.text(page).components(separatedBy: "](").dropFirst() {
                let target = part.prefix { $0 != ")" && $0 != "#" }
                guard !target.isEmpty, !target.contains(":"), !target.contains(" ") else {
                    continue
                }
                let path = Self.root + "/" + directory + "/" + target
                #expect(FileManager.default.fileExists(atPath: path), "\(page): \(target)")
            }
        }
    }

    @Test func theShellPartsAreShell() {
        for page in Self.pages {
            let blocks = Self.text(page).components(separatedBy: "\n```sh\n").dropFirst()
            for block in blocks {
                let code = block.components(separatedBy: "\n```")[0]
                let outcome = TestSupport.run("bash", ["-n", "-c", code], environment: [:])
                #expect(outcome.code == 0, "\(page): \(code) \(outcome)")
            }
        }
    }

    /// Each promise is shown by a suite that exists.
    @Test func eachGuaranteeNamesATestThatExists() {
        let names =
            FileManager.default.enumerator(atPath: Self.root + "/Tests")?
            .compactMap { ($0 as? String).map { ($0 as NSString).lastPathComponent } } ?? []
        let rows = Self.text("docs/reference/guarantees.md").split(separator: "\n").filter {
            $0.hasPrefix("| ")
        }
        #expect(rows.count > 15)
        for row in rows.dropFirst(1) {
            let tests = row.split(separator: "`").filter {
                $0.hasSuffix("Tests") || $0.hasSuffix(".py") || $0.hasSuffix(".pml")
            }
            #expect(!tests.isEmpty, "\(row)")
            for test in tests {
                #expect(names.contains { $0 == test || $0 == test + ".swift" }, "\(test)")
            }
        }
    }

    @Test func thePythonPageRuns() throws {
        guard isInstalled("python3") else { return }
        let page = Self.text("docs/how-to/python.md")
        let blocks = page.components(separatedBy: "```python\n").dropFirst()
        let code = blocks.map { $0.components(separatedBy: "\n```")[0] }.joined(separator: "\n")
        let directory = TemporaryDirectory()
        let outcome = TestSupport.run(
            "python3", ["-c", code],
            environment: [
                "PATH": builtProducts + ":/usr/bin:/bin", "FLOCK_CACHE_DIR": directory("store"),
            ])
        #expect(outcome.code == 0 && outcome.text == "42\n42\n", "\(outcome)")
    }
}
