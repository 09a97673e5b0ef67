import Testing
import TestSupport

@testable import TestHelpers

/// The programs of docs/examples, as they stand there, several of each at once.
@Suite(.ownThreads) struct ExampleTests {
    private let stage = Stage()

    private static let examples: String = {
        let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        return "/\(root)/docs/examples"
    }()

    /// Files of five contents, each twice.
    private func makeFiles() -> [String] {
        (0..<10).map { number in
            write("content \(number % 5)".utf8, to: stage.directory("file-\(number)"))
            return stage.directory("file-\(number)")
        }
    }

    private func lines(_ text: String) -> [[Substring]] {
        text.split(separator: "\n").map { $0.split(separator: " ") }
    }

    @Test func filesAreUploadedOnceByTheScript() {
        let files = makeFiles()
        let upload = "#!/bin/sh\necho \"$1\" >>\"$WORK/uploads\"; mktemp \"$WORK/id-XXXXXX\"\n"
        write(upload.utf8, to: stage.directory("upload"))
        let program = stage.directory("upload")
        let script = "UPLOAD='sh \(program)' sh \(Self.examples)/uploads/upload.sh"
        let children = (0..<5).map { _ in
            stage.start("\(script) \(files.joined(separator: " "))")
        }
        let outcomes = children.map { $0.finish() }
        #expect(outcomes.allSatisfy { $0.code == 0 && $0.text == outcomes[0].text }, "\(outcomes)")
        #expect(lines(outcomes[0].text).count == 10)
        #expect(Set(lines(outcomes[0].text).map { $0[1] }).count == 5)
        #expect((contents(of: stage.directory("uploads")) ?? []).count { $0 == 10 } == 5)
    }

    @Test func filesAreUploadedOnceByTheProgram() {
        let files = makeFiles()
        let service = TemporaryDirectory()
        let pairs = files.map { "$(sha256sum <\($0) | cut -c1-64)=\($0)" }.joined(separator: " ")
        let children = (0..<5).map { _ in
            stage.start("example-uploads $FLOCK_CACHE_DIR \(service.path) \(pairs)")
        }
        let outcomes = children.map { $0.finish() }
        #expect(outcomes.allSatisfy { $0.code == 0 && $0.text == outcomes[0].text }, "\(outcomes)")
        let ids = Set(lines(outcomes[0].text).map { String($0[1]) })
        #expect(ids == Set(names(in: service.path)) && ids.count == 5, "\(outcomes[0])")
        // A file that cannot be uploaded is nobody's: the next to ask tries again.
        let missing = stage.script("example-uploads $FLOCK_CACHE_DIR \(service.path) h=/nowhere")
        #expect(missing.code == 1 && missing.error.contains("nowhere"), "\(missing)")
        #expect(stage.run("get", "upload/h").code == 1)
    }

    @Test func aRegistryIsSharedByThreePrograms() {
        let children = (0..<3).map { _ in stage.start("example-registry $WORK/registry 20") }
        let outcomes = children.map { $0.finish() }
        #expect(outcomes.allSatisfy { $0.code == 0 }, "\(outcomes)")
        func sum(_ name: String) -> Int {
            outcomes.flatMap { lines($0.text) }.filter { $0[0] == name }.reduce(0) {
                $0 + (Int($1[1]) ?? 0)
            }
        }
        #expect(sum("registered") == 200 && sum("fetched") == 5, "\(outcomes)")
        #expect(outcomes.allSatisfy { $0.text.contains("active at once 1\n") }, "\(outcomes)")
        #expect(outcomes.allSatisfy { $0.text.contains("pages 5\n") }, "\(outcomes)")
    }

    /// What each of them says must hold for all three together.
    @Test func documentsAreKeptByThreePrograms() {
        let children = (0..<3).map { _ in
            stage.start("example-documents $FLOCK_CACHE_DIR 4 3")
        }
        let outcomes = children.map { $0.finish() }
        #expect(outcomes.allSatisfy { $0.code == 0 }, "\(outcomes)")
        func numbers(_ name: String) -> [Int] {
            outcomes.flatMap { lines($0.text) }.filter {
                $0.dropLast().joined(separator: " ") == name
            }
            .compactMap { Int($0.last ?? "") }
        }
        // Of ten slugs there is room for six; each is created once for each of three tenants.
        #expect(numbers("created").reduce(0, +) == 18, "\(outcomes)")
        let asked = ["created", "taken", "refused"].flatMap(numbers).reduce(0, +)
        #expect(asked == 3 * 4 * 3 * 10, "\(outcomes)")
        #expect(numbers("rendering at once").allSatisfy { 1...4 ~= $0 }, "\(outcomes)")
        for tenant in 0..<3 {
            #expect(numbers("tenant-\(tenant)") == [6, 6, 6], "\(outcomes)")
            // Each of twelve instances has added a line, and none was lost on its ways.
            let script = "flock-cache get document/tenant-\(tenant)/page-0"
            let both = stage.script("\(script); \(script.dropLast())1").text
            #expect(lines(both).count { $0 == ["edited"] } == 12, "\(both)")
        }
    }

    @Test func runsOfCommandsAreRecordedByTheScript() {
        let telemetry = "sh \(Self.examples)/telemetry/telemetry.sh"
        let children = (0..<12).map { number in
            stage.start(
                "\(telemetry) run \(number % 2 == 0 ? "even" : "odd") sh -c 'exit \(number % 3)'")
        }
        let outcomes = children.map { $0.finish() }
        for (number, outcome) in outcomes.enumerated() {
            #expect(outcome.code == number % 3, "\(outcome)")
            #expect(outcome.error.hasPrefix("telemetry.sh: run "), "\(outcome)")
        }
        let report = lines(stage.script("\(telemetry) report").text).map { $0.prefix(3) }
        #expect(report == [["even", "6", "4"], ["odd", "6", "4"]], "\(report)")
        #expect(stage.script("\(telemetry) feedback 5 'as expected'").code == 0)
        #expect(stage.script("\(telemetry) feedback 13 no").code == 1)
        let shown = stage.script("\(telemetry) show").text.split(separator: "\n")
        #expect(shown.count == 12 && shown[4].hasSuffix(" as expected"), "\(shown)")
        // Without a store that can be written the command runs, and ends as it does.
        let lost = stage.script("FLOCK_CACHE_DIR=/proc/none \(telemetry) run lost sh -c 'exit 7'")
        #expect(lost.code == 7 && lost.error.contains("not recorded"), "\(lost)")
    }
}
