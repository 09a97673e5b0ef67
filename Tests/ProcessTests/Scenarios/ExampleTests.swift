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
}
