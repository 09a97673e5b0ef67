import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// A program that knows journals from docs/reference/file-format.md alone, and the script of the guide.
@Suite(.ownThreads) struct JournalFormatTests {
    private let stage = Stage()

    private static let root: String = {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(3)
        return "/" + parts.joined(separator: "/")
    }()
    private static let program = root + "/Tests/FileFormat/flock_cache_journal.py"

    private func foreign(_ arguments: String..., input: String? = nil) -> Outcome {
        TestSupport.run(
            "python3", ["-B", Self.program, stage.store] + arguments, environment: stage.variables,
            input: input)
    }

    /// What the command reads, without the times.
    private func read(_ name: String) -> [String] {
        stage.run("journal", "read", name).text.split(separator: "\n").map { line in
            let words = line.split(separator: "\t", omittingEmptySubsequences: false)
            return String(words[0]) + " " + String(words[2])
        }
    }

    @Test(.enabled(if: isInstalled("python3")))
    func aProgramFromTheFormatPageAloneReadsAndAppends() {
        var stage = stage
        stage.variables["FLOCK_CACHE_SEGMENT"] = "4300"
        for number in [1, 4, 7] {
            #expect(stage.run("journal", "append", "a b", "ours \(number)").text == "\(number)\n")
            let theirs = foreign(
                "--append", "a b", "--segment", "4300", input: "theirs \(number + 1)\n")
            // A line of the input's own end is one more.
            #expect(theirs.text == "\(number + 1)\n\(number + 2)\n", "\(theirs)")
        }
        let expected = [1, 4, 7].flatMap { number in
            [
                "\(number) ours%20\(number)", "\(number + 1) theirs%20\(number + 1)",
                "\(number + 2) ",
            ]
        }
        #expect(read("a b") == expected)
        let found: [String] = foreign("--read", "a b").text.split(separator: "\n").map { line in
            let words = line.split(separator: "\t", omittingEmptySubsequences: false)
            return String(words[0]) + " " + String(words[2])
        }
        #expect(found == expected)
        #expect(names(in: stage.store + "/journal/a%20b").count > 1)
    }

    @Test(.enabled(if: isInstalled("python3")))
    func suchAProgramExcludesUsAndWakesOurFollowers() {
        #expect(stage.run("journal", "append", "log", "one").code == 0)
        let follower = Child(
            builtProducts + "/flock-cache",
            ["journal", "read", "log", "--follow", "--from", "2", "-w", "10m"],
            environment: stage.variables)
        let (ours, theirs) = (
            Child(
                "sh", ["-c", "seq 200 | while read n; do flock-cache journal append log $n; done"],
                environment: stage.variables),
            Child(
                "sh",
                ["-c", "seq 200 | python3 -B \"$PROGRAM\" \"$FLOCK_CACHE_DIR\" --append log"],
                environment: stage.variables.merging(["PROGRAM": Self.program]) { $1 })
        )
        let numbers = [ours, theirs].flatMap { child in
            child.outcome().text.split(separator: "\n").compactMap { Int($0) }
        }
        #expect(numbers.sorted() == Array(2...401))
        for number in 2...401 { #expect(follower.line()?.hasPrefix("\(number)\t") == true) }
        follower.kill(SIGTERM)
        _ = follower.wait()
        #expect(foreign("--read", "log").text.split(separator: "\n").count == 401)
    }

    @Test func theScriptOfTheGuideAppends() {
        let script = Self.root + "/docs/how-to/audit-log.sh"
        let children = (1...20).map { index in
            Child("sh", [script, "user\(index)", "did", "a thing"], environment: stage.variables)
        }
        for child in children { #expect(child.outcome().code == 0) }
        let lines = read("audit")
        #expect(lines.count == 20)
        for index in 1...20 {
            #expect(lines.contains { $0.hasSuffix("%20user\(index):%20did%20a%20thing") })
        }
    }

    @Test func childrenThatAreForkedBesideAppendsAppend() {
        let peer = PeerProcess(stage.store)
        let answer = peer.ask("fork-journal 30")
        peer.exit()
        #expect(answer.hasPrefix("appended "))
        let last = stage.run("journal", "list").text.split(separator: "\t")
        #expect(last.count == 4 && "appended \(last[2])" == answer, "\(last), \(answer)")
    }

    /// Another boot: what was appended before it stands, and numbers go on.
    @Test(.enabled(if: canMount))
    func anotherBootGoesOn() {
        let script = """
            boot() { tr a-f 0-9 < /proc/sys/kernel/random/uuid > "$WORK/boot"; }
            boot; mount --bind "$WORK/boot" /proc/sys/kernel/random/boot_id || exit
            flock-cache journal append log one; flock-cache journal append log two; boot
            flock-cache journal read log | cut -f 1,3
            flock-cache journal append log three; boot
            flock-cache journal list
            flock-cache journal read log --from 4
            flock-cache journal append log four
            """
        let outcome = TestSupport.run(
            "unshare", ["-m", "bash", "-c", script], environment: stage.variables)
        #expect(
            outcome.text == "1\n2\n1\tone\n2\ttwo\n3\nlog\t1\t3\t4203\n4\n", "\(outcome)")
    }
}
