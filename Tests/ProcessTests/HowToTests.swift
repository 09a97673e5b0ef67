import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// The scripts and programs that the documents show, as they stand in the repository.
@Suite(.ownThreads) struct HowToTests {
    private let stage = Stage()
    private var directory: TemporaryDirectory { stage.directory }

    private static let root: String = {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(3)
        return "/" + parts.joined(separator: "/")
    }()

    /// Real files: the package's own sources, a few of them copied.
    private func sources() -> String {
        let target = directory("files")
        _ = run(
            "cp", ["-r", Self.root + "/Sources/FlockCache", target], environment: stage.variables)
        for copy in ["a", "b", "c"] {
            _ = run(
                "cp", ["-r", target + "/Claims", target + "/copy-\(copy)"],
                environment: stage.variables)
        }
        return target
    }

    /// How often each content was processed, by hash; and how many files there were.
    private func dedup(
        _ files: String, _ command: String
    ) -> (processed: [String: Int], files: Int) {
        let outcome = run(
            "sh", [Self.root + "/docs/how-to/dedup-directory.sh", files, command, "8"],
            environment: stage.variables.merging(["DIRECTORY": directory.path]) { $1 })
        #expect(outcome.code == 0, "\(outcome.error)")
        var processed: [String: Int] = [:]
        var seen: Set<String> = []
        for line in outcome.text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 2).map(String.init)
            if words[0] == "FAILED" { Issue.record("\(line)") }
            if words[0] == "PROCESSED" { processed[words[1], default: 0] += 1 }
            seen.insert(words[2])
        }
        return (processed, seen.count)
    }

    private func distinctContents(_ files: String) -> Set<String> {
        let outcome = run(
            "sh", ["-c", "find \"$1\" -type f -exec sha256sum {} +", "sh", files],
            environment: stage.variables)
        return Set(outcome.text.split(separator: "\n").map { String($0.prefix(64)) })
    }

    @Test func eightWorkersProcessEachContentOnceAndTheSecondRunNone() {
        let files = sources()
        let first = dedup(files, "wc -l <")
        let contents = distinctContents(files)
        #expect(Set(first.processed.keys) == contents)
        #expect(first.processed.values.allSatisfy { $0 == 1 })
        #expect(first.files > contents.count + 10)
        #expect(dedup(files, "wc -l <").processed.isEmpty)
    }

    /// Five workers are killed in the middle of their work; somebody else does it.
    @Test func killedWorkersDoNotStopTheOthers() {
        let files = sources()
        let command = """
            kill_one() { for n in 1 2 3 4 5; do \
            if mkdir "$DIRECTORY/killed-$n" 2> /dev/null; then kill -9 $FLOCK_CACHE_OWNER; fi; done; \
            wc -l < "$1"; }; kill_one
            """
        let first = dedup(files, command)
        #expect(Set(first.processed.keys) == distinctContents(files))
        #expect(first.processed.values.allSatisfy { $0 == 1 })
        #expect(names(in: directory.path).contains("killed-5"))
    }

    // MARK: A program that knows nothing but docs/reference/file-format.md

    private static let reader = root + "/Tests/FileFormat/flock_cache_format.py"

    @Test(.enabled(if: isInstalled("python3")))
    func aProgramFromTheFormatPageAloneReadsTheSame() {
        let environment = stage.variables
        for key in ["a", "b/../c", "x.pending", "sha256:0123"] {
            let won = run(
                builtProducts + "/flock-cache", ["claim", "--", key], environment: environment)
            #expect(won.code == 0)
            if key != "a" {
                let generation = String(won.text.dropLast())
                let done = run(
                    builtProducts + "/flock-cache",
                    ["finalize", "--generation", generation, "--", key, "value of \(key)"],
                    environment: environment)
                #expect(done.code == 0)
            }
        }
        let listed = run("python3", [Self.reader, stage.store, "--list"], environment: environment)
        #expect(listed.code == 0, "\(listed.error)")
        for key in ["a", "b%2F..%2Fc", "x%2Epending", "sha256:0123"] {
            #expect(listed.text.contains(key))
        }
        #expect(listed.text.contains("value%20of%20b%2F..%2Fc"))
        let counted = run(
            "python3", [Self.reader, stage.store, "--stats"], environment: environment)
        #expect(
            counted.text
                == run(builtProducts + "/flock-cache", ["stats"], environment: environment).text)
    }

    /// It counts in the same cells, and reads what is counted here.
    @Test(.enabled(if: isInstalled("python3")))
    func aProgramFromTheFormatPageAloneCounts() {
        func count(_ amount: String) -> Outcome {
            run(
                "python3", [Self.reader, stage.store, "--increment", "n", amount],
                environment: stage.variables)
        }
        #expect(stage.run("increment", "n", "-9223372036854775808").code == 0)
        #expect(count("5").text == "-9223372036854775803\n")
        #expect(stage.run("get", "n").text == "-9223372036854775803")
        #expect(stage.run("increment", "n", "9223372036854775807").text == "4\n")
        // Beside each other, each sees what the other has counted.
        for round in 0..<5 {
            #expect(count("-10").text == "\(4 - round * 9 - 10)\n")
            #expect(stage.run("increment", "n").text == "\(4 - (round + 1) * 9)\n")
        }
        let listed = run(
            "python3", [Self.reader, stage.store, "--list"], environment: stage.variables)
        let own = stage.run("list").text.split(separator: "\t")
        #expect(listed.text == "ready\tn\t\(own[2])\t-41\n", "\(listed)")
        let counted = run(
            "python3", [Self.reader, stage.store, "--stats"], environment: stage.variables)
        #expect(counted.text == stage.run("stats").text && counted.text.hasSuffix("bytes 1636\n"))
        // What is set otherwise is no counter.
        stage.run("put", "n", "41")
        #expect(count("1").code != 0)
    }

    // MARK: Counters and quotas

    @Test func theScriptOfCountersAndQuotasDoesWhatItSays() {
        let outcome = run(
            "sh", [Self.root + "/docs/how-to/counters-and-quotas.sh"],
            environment: stage.variables)
        #expect(outcome.code == 0 && outcome.error.isEmpty, "\(outcome)")
        #expect(
            outcome.text.split(separator: "\n") == [
                "100 page views", "50 of 60 got a permit", "1 of 2 could pay, 40 left",
                "20 workers added 20 lines",
            ])
    }

    /// The same locks: while the program has a shard's mutex nobody changes a key of it.
    @Test(.enabled(if: isInstalled("python3")))
    func aProgramFromTheFormatPageAloneExcludesAndIsExcluded() {
        let environment = stage.variables
        #expect(
            run(builtProducts + "/flock-cache", ["claim", "key"], environment: environment).code
                == 0)
        let shard = run(
            "python3", [Self.reader, stage.store, "--shard", "key"], environment: environment)
        let held = Child(
            "python3",
            [Self.reader, stage.store, "--hold", String(shard.text.prefix(2))],
            environment: environment)
        #expect(held.line() == "held")
        let stuck = run(
            builtProducts + "/flock-cache",
            ["claim", "-n", "--max-age", "0", "--owner", "\(getpid())", "key"],
            environment: environment)
        #expect(stuck.code == 75, "a claim that stands is seen without the mutex")
        let change = run(
            builtProducts + "/flock-cache",
            ["claim", "-w", "1s", "--owner", "\(getpid())", collision(with: shard.text)],
            environment: environment)
        #expect(change.code == 124, "\(change)")
        held.closeInput()
        #expect(held.wait() == .exit(0))
        #expect(
            run(
                builtProducts + "/flock-cache",
                ["claim", "--owner", "\(getpid())", collision(with: shard.text)],
                environment: environment
            ).code == 0)
    }

    /// Another key of the same shard, by FNV-1a 64.
    private func collision(with shard: String) -> String {
        let wanted = shard.prefix(2)
        // One of 256 has it.
        for number in 0..<100_000 {
            let key = "other-\(number)"
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in key.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            let digits = String(hash & 0xff, radix: 16)
            if wanted == (digits.count < 2 ? "0" + digits : digits) { return key }
        }
        return ""
    }
}
