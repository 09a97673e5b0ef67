#if Async

import TestSupport
import Testing

@testable import TestHelpers

/// The programs that the documentation shows compile as they stand, wherever a reader puts them.
///
/// What they call and do not show is in `Tests/Programs/surroundings.swift`, and the store of those that open none in
/// `store.swift`. A block that begins with "```swift fragment" is not compiled.
@Suite(.ownThreads, .enabled(if: Compiler.works, "needs swiftc and the built module"))
struct SnippetTests {
    /// A block of Swift in a page.
    struct Snippet: Sendable, CustomTestStringConvertible {
        /// Such as `README.md:109`.
        let place: String
        let lines: [Substring]

        var isAwaited: Bool { lines.contains { $0.contains("await ") } }
        /// A program of the tutorial, which shows all that it calls.
        var isWhole: Bool { place.hasSuffix(".swift") }
        var opensStore: Bool { lines.contains { $0.hasPrefix("let store = ") } }
        var testDescription: String { place }

        /// Its lines but for imports, which only a file may have.
        var body: String {
            lines.filter { !$0.hasPrefix("import ") }.joined(separator: "\n")
        }
    }

    private static let root =
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/"
    private static let surroundings = root + "Tests/Programs/surroundings.swift"
    private static let store = root + "Tests/Programs/store.swift"

    private static let pages =
        ["README.md"] + pages(in: "docs") + pages(in: "Sources/FlockCache/FlockCache.docc")

    private static let snippets = pages.flatMap(snippets(of:))

    private static func pages(in directory: String) -> [String] {
        names(in: root + directory).sorted().flatMap { name -> [String] in
            let path = directory + "/" + name
            if name.hasSuffix(".md") || name.hasSuffix(".tutorial") { return [path] }
            // A program of the tutorial is one block.
            if name.hasSuffix(".swift") { return directory.hasSuffix("Resources") ? [path] : [] }
            return name.contains(".") ? [] : pages(in: path)
        }
    }

    private static func snippets(of page: String) -> [Snippet] {
        let text = String(decoding: contents(of: root + page) ?? [], as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if page.hasSuffix(".swift") { return [Snippet(place: page, lines: lines)] }
        var found: [Snippet] = []
        var begin: Int?
        for (number, line) in lines.enumerated() {
            let words = line.drop { $0 == " " }
            if let first = begin {
                guard words.hasPrefix("```") else { continue }
                if !lines[first - 1].contains(" fragment") {
                    found.append(
                        Snippet(place: "\(page):\(first)", lines: Array(lines[first..<number])))
                }
                begin = nil
            } else if words.hasPrefix("```swift") {
                begin = number + 1
            }
        }
        return found
    }

    /// What a snippet may cause warnings by: that what it makes is not used any further.
    private func complaints(_ outcome: Outcome) -> [Substring] {
        outcome.error.split(separator: "\n").filter {
            $0.contains(": error: ") || $0.contains(": warning: ") && !$0.contains("never used")
        }
    }

    @Test(arguments: snippets)
    func eachCompilesAtTopLevel(_ snippet: Snippet) {
        let directory = TemporaryDirectory()
        write(("import FlockCache\n" + snippet.body + "\n").utf8, to: directory("main.swift"))
        let others =
            snippet.isWhole
            ? [] : [Self.surroundings] + (snippet.opensStore ? [] : [Self.store])
        let outcome = Compiler.check(file: directory("main.swift"), others + ["-typecheck"])
        #expect(complaints(outcome).isEmpty && outcome.code == 0, "\(outcome)")
    }

    /// Blocking forms where nothing is awaited, and asynchronous ones where something is.
    @Test func theyCompileInFunctionsInActorsAndInMain() {
        let directory = TemporaryDirectory()
        var files = [Self.surroundings, Self.store]
        var main = "import FlockCache\n@main struct Main {\nstatic func main() async throws {\n"
        for (number, snippet) in Self.snippets.enumerated() {
            let effects = snippet.isAwaited ? "async throws" : "throws"
            let text = """
                import FlockCache
                enum InFunction\(number) { static func run() \(effects) {
                #sourceLocation(file: "\(snippet.place) in a function", line: 1)
                \(snippet.body)
                #sourceLocation()
                } }
                actor InActor\(number) { var count = 0; func run() \(effects) {
                #sourceLocation(file: "\(snippet.place) in an actor", line: 1)
                \(snippet.body)
                #sourceLocation()
                } }
                """
            files.append(directory("snippet\(number).swift"))
            write(text.utf8, to: files[files.count - 1])
            if snippet.isAwaited {
                main += """
                    do {
                    #sourceLocation(file: "\(snippet.place) in @main", line: 1)
                    \(snippet.body)
                    #sourceLocation()
                    }

                    """
            }
        }
        write((main + "}\n}\n").utf8, to: directory("main-type.swift"))
        let outcome = Compiler.check(
            file: directory("main-type.swift"), files + ["-typecheck", "-parse-as-library"])
        #expect(complaints(outcome).isEmpty && outcome.code == 0, "\(outcome)")
    }

    @Test func thePagesWereFound() {
        #expect(Self.snippets.count >= 20)
        for page in [
            "README.md:", "docs/how-to/", "Articles/Claims.md:", "Resources/first-3.swift",
        ] {
            #expect(Self.snippets.contains { $0.place.contains(page) }, "\(page)")
        }
    }
}

#endif
