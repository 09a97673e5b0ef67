import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Standard descriptors that are closed, full, or a pipe whose reader has gone.
@Suite(.ownThreads) struct DescriptorTests {
    // Eight combinations: a bit each for standard input, output and error.
    @Test(arguments: 0..<8)
    func closedDescriptorsNeverBecomeFilesOfTheStore(closed: Int) throws {
        let stage = Stage()
        stage.publish("ready", "v")
        let redirections = [" <&-", " >&-", " 2>&-"].enumerated()
            .map { closed & 1 << $0 != 0 ? $1 : "" }.joined()
        let isDeaf = closed & 2 != 0
        for shell in shells {
            // Refused, won or lost, every command has something to say.
            let codes = [
                "claim k", "claim k", "get ready", "get k", "list", "stats", "nonsense", "claim ''",
                "finalize k2 v", "claim ready",
            ].map { stage.script("exec flock-cache \($0)\(redirections)", in: shell).code }
            let expected: [Int32] =
                isDeaf
                ? [74, 74, 74, 1, 74, 74, 64, 64, 76, 74] : [0, 75, 0, 75, 0, 0, 64, 64, 76, 1]
            #expect(codes == expected, "\(shell)")
            // A win that nobody heard of is no win.
            let next = stage.run("claim", "k")
            #expect(next.code == (isDeaf ? 0 : 75), "\(next)")
            #expect(!next.error.contains("took"), "\(next)")
            stage.run("remove", "--pending", "k")
        }
        let shards = try #require(contents(of: stage.store + "/locks/shards"))
        #expect(shards.starts(with: "flock-cache shards 1 ".utf8))
        for path in [stage.store + "/flock-cache"] + stage.entryFiles {
            let text = String(decoding: try #require(contents(of: path)), as: UTF8.self)
            #expect(!text.contains("flock-cache:"), "\(path)")
        }
        #expect(stage.run("get", "ready").text == "v")
    }

    @Test func aClosedInputIsNotAnEmptyValue() {
        let stage = Stage()
        stage.run("claim", "k")
        let outcome = stage.script("flock-cache finalize k --file - <&- 2>&1; echo $?")
        #expect(outcome.text.hasSuffix("74\n"), "\(outcome)")
        #expect(stage.run("get", "k").code == 75)
    }

    @Test func aWinThatCannotBeWrittenIsGivenUp() {
        let stage = Stage()
        for option in ["", "--json"] {
            let outcome = stage.script("flock-cache claim \(option) k >/dev/full")
            #expect(outcome.code == 74, "\(outcome)")
            #expect(outcome.error.contains("No space left on device"), "\(outcome)")
            #expect(outcome.error.contains("given up"), "\(outcome)")
            #expect(stage.run("get", "k").code == 1)
        }
        #expect(stage.run("claim", "k").error.isEmpty)
    }

    @Test func aTakeOverThatCannotBeWrittenIsGivenUp() {
        let stage = Stage()
        stage.script("flock-cache claim k; true")
        #expect(stage.script("flock-cache claim k >/dev/full").code == 74)
        #expect(stage.run("get", "k").code == 1)
    }

    @Test func resultsThatCannotBeWrittenAreErrors() {
        let stage = Stage()
        stage.publish("k", "v")
        for command in ["get k", "list", "list -0", "stats", "version", "help", "claim k"] {
            for option in ["", "--json"] where command != "help" {
                let outcome = stage.script("flock-cache \(option) \(command) >/dev/full")
                #expect(outcome.code == 74, "\(command): \(outcome)")
                #expect(outcome.error.contains("standard output"), "\(command): \(outcome)")
            }
        }
    }

    /// Runs a command whose output is a pipe that nobody reads any more.
    private func unread(_ command: String, _ stage: Stage) -> Outcome {
        stage.script(
            """
            mkfifo $WORK/pipe
            exec 7<>$WORK/pipe; exec 8>$WORK/pipe; exec 7<&-
            rm $WORK/pipe
            exec flock-cache \(command) >&8
            """)
    }

    @Test func aWinThatNobodyReadsIsGivenUp() {
        let stage = Stage()
        let outcome = unread("claim k", stage)
        #expect(outcome.code == 74, "\(outcome)")
        #expect(outcome.error.contains("given up"), "\(outcome)")
        let next = stage.run("claim", "k")
        #expect(next.code == 0 && next.error.isEmpty, "\(next)")
    }

    @Test func aReaderThatHasHadEnoughEndsACommandQuietly() {
        let stage = Stage()
        stage.publish("k", "v")
        for command in ["get k", "list", "stats", "--json list", "help"] {
            let outcome = unread(command, stage)
            #expect(outcome.code == 0, "\(command): \(outcome)")
            #expect(outcome.error.isEmpty, "\(command): \(outcome)")
        }
    }

    // 0 would say that it was won.
    @Test func aClaimOfAReadyKeyIsNoWinAlsoWhenNobodyReads() {
        let stage = Stage()
        stage.publish("k", "v")
        for option in ["", "--json"] {
            let outcome = unread("claim \(option) k", stage)
            #expect(outcome.code == 1 && outcome.error.isEmpty, "\(outcome)")
        }
        stage.run("claim", "pending")
        #expect(unread("claim --json -q pending", stage).code == 75)
    }

    @Test func aValueThatCannotBeReadIsSaidToBeSoAndTheClaimStays() {
        let stage = Stage()
        stage.run("claim", "k")
        for path in ["/nowhere/value", stage.directory.path, "/proc/self/mem"] {
            let outcome = stage.run("finalize", "k", "--file", path)
            #expect(outcome.code == 74, "\(outcome)")
            #expect(outcome.error.contains("read the value"), "\(outcome)")
            #expect(!outcome.error.contains("put in its place"), "\(outcome)")
        }
        #expect(stage.run("finalize", "k", "v").code == 0)
    }

    // While it reads, nothing has been decided, and whoever feeds it may take for ever.
    @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
    func aFinalizeThatWaitsForItsInputCanBeEnded(signal: Int32) throws {
        let stage = Stage()
        let generation = try #require(stage.run("claim", "k").generation)
        let finalize = Child(
            builtProducts + "/flock-cache",
            ["finalize", "--generation", "\(generation)", "k", "--file", "-"],
            environment: stage.variables)
        for _ in 0..<70 { finalize.tell(String(repeating: "x", count: 1023)) }
        while !stage.entryFiles.contains(where: { $0.contains("/.tmp-") }) { sched_yield() }
        finalize.kill(signal)
        // The signal comes first. Were it blocked, this would be the end of a value.
        finalize.closeInput()
        #expect(finalize.wait() == .signal(signal))
        #expect(stage.run("get", "k").code == 75)
        // What it had begun is nobody's now.
        stage.run("reap")
        #expect(stage.entryFiles.map { $0.hasSuffix("/k.pending") } == [true])
        #expect(stage.run("finalize", "k", "v").code == 0)
    }
}
