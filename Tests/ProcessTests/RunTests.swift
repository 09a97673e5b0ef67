import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `run`: a value is computed once, whoever asks, and whatever becomes of who computes it.
@Suite(.ownThreads) struct RunTests {
    /// A COMMAND that notes each time it is run, and prints who it was.
    static let noting = #"echo ran >>"$WORK/runs"; echo "value of $$""#

    func runs(_ stage: Stage) -> Int {
        contents(of: stage.directory("runs"))?.count { $0 == 10 } ?? 0
    }

    @Test func ofManyProcessesOneRunsAndAllGetItsValue() {
        let stage = Stage()
        let processes = (0..<64).map { _ in
            stage.start("read go; exec flock-cache run k -- sh -c '\(Self.noting)'")
        }
        for process in processes { process.closeInput() }
        let outcomes = processes.map { $0.outcome() }
        #expect(outcomes.allSatisfy { $0.code == 0 }, "\(outcomes)")
        #expect(Set(outcomes.map(\.text)).count == 1, "\(outcomes)")
        #expect(outcomes[0].text.hasPrefix("value of "))
        #expect(runs(stage) == 1)
        #expect(stage.run("run", "k", "echo", "not again").text == outcomes[0].text)
    }

    @Test(arguments: shells)
    func asTenBackgroundSubshellsOfOneScript(shell: String) {
        let stage = Stage()
        for round in 0..<10 {
            let outcome = stage.script(
                """
                for i in 1 2 3 4 5 6 7 8 9 10; do
                    { v=$(flock-cache run k\(round) -- sh -c '\(Self.noting)') && echo "$v"; } &
                done
                wait
                """, in: shell)
            #expect(outcome.code == 0)
            let values = outcome.text.split(separator: "\n")
            #expect(values.count == 10, "\(outcome)")
            #expect(Set(values).count == 1, "\(outcome)")
            #expect(runs(stage) == round + 1)
        }
    }

    @Test func aFailureIsPassedOnAndExactlyOneOfThoseWhoWaitIsNext() {
        let stage = Stage()
        let first = stage.start(
            "exec flock-cache run k -- sh -c 'echo first half; read go; echo second half; exit 7'")
        #expect(first.line() == "first half")
        let waiters = (0..<8).map { _ in
            stage.start("exec flock-cache run k -- sh -c '\(Self.noting)'")
        }
        for waiter in waiters { #expect(waitUntil { sleeps(waiter.id) }) }
        first.tell("")
        let failed = first.outcome()
        #expect(failed.code == 7)
        #expect(failed.text == "second half\n")
        let outcomes = waiters.map { $0.outcome() }
        #expect(outcomes.allSatisfy { $0.code == 0 }, "\(outcomes)")
        #expect(Set(outcomes.map(\.text)).count == 1, "\(outcomes)")
        #expect(runs(stage) == 1)
    }

    @Test func exitCodesAreThoseOfTheCommandOrSayWhatWentWrong() {
        let stage = Stage()
        write("not a program".utf8, to: stage.directory("text"))
        let cases: [(String, Int32)] = [
            ("k -- sh -c 'exit 1'", 1), ("k -- sh -c 'exit 75'", 75), ("k sh -c 'exit 255'", 255),
            ("k -- sh -c 'kill -KILL $$'", 137), ("k -- sh -c 'kill -TERM $$'", 143),
            ("k -- no-such-program", 127), ("k -- \(stage.directory("text"))", 126),
            ("k -- \(stage.directory.path)", 126), ("k", 125), ("", 125), ("k --", 125),
            ("--bogus k true", 125), ("-w soon k true", 125), ("-E -1 k true", 125),
            ("-E 256 k true", 125), ("'' true", 125), ("--store /proc/self k true", 125),
            ("--help", 0),
        ]
        for (line, code) in cases {
            let outcome = stage.script("flock-cache run \(line); exit $?")
            #expect(outcome.code == code, "\(line): \(outcome)")
        }
        #expect(stage.run("stats").text == "pending 0\nready 0\nbytes 0\n")
        var bad = stage
        bad.variables["FLOCK_CACHE_WAIT"] = "soon"
        #expect(bad.run("run", "k", "true").code == 125)
    }

    @Test func theEndOfTheWaitHasItsCodesAndTheyCanBeChosen() {
        let stage = Stage()
        let runner = stage.start("exec flock-cache run k -- sh -c 'echo begun; read go'")
        #expect(runner.line() == "begun")
        let cases: [([String], Int32)] = [
            (["-n"], 75), (["-w", "0"], 75), (["-w", "30ms"], 124), (["-n", "-E", "9"], 9),
            (["-w30ms", "-E9"], 9), (["--wait=30ms", "--conflict-exit-code=200"], 200),
        ]
        for (options, code) in cases {
            let outcome = run(
                builtProducts + "/flock-cache", ["run"] + options + ["k", "echo", "never"],
                environment: stage.variables)
            #expect(outcome.code == code, "\(options): \(outcome)")
            #expect(outcome.text == "")
            let isSilent = options.contains { $0.contains("-E") || $0.contains("exit-code") }
            #expect(outcome.error.contains("claimed ") != isSilent, "\(outcome)")
        }
        // One's own COMMAND is not limited by the wait, and its code not by -E.
        #expect(stage.run("run", "-n", "-E", "9", "other", "sh", "-c", "exit 75").code == 75)
    }

    @Test func aValueThatIsTooOldIsComputedAnewAndReadMeanwhile() {
        let stage = Stage()
        stage.publish("k", "old")
        let runner = stage.start(
            "exec flock-cache run --max-age 0 k -- sh -c 'echo begun; read go'")
        #expect(runner.line() == "begun")
        #expect(stage.run("get", "k").text == "old")
        #expect(stage.run("run", "k", "echo", "never").text == "old")
        // Those who want it fresh as well get what is published after they asked, however long ago
        // that is by the time they look.
        let others = (0..<6).map { _ in
            stage.start("exec flock-cache run --max-age 0 k -- sh -c '\(Self.noting)'")
        }
        for other in others { #expect(waitUntil { sleeps(other.id) }) }
        runner.tell("")
        #expect(runner.outcome().code == 0)
        for other in others { #expect(other.outcome().text == "begun\n") }
        #expect(runs(stage) == 0)
    }

    @Test func aClaimThatIsRemovedUnderTheCommandIsLost() {
        let stage = Stage()
        let outcome = stage.run(
            "run", "k", "sh", "-c", "echo value; flock-cache remove --pending k")
        #expect(outcome.code == 76, "\(outcome)")
        #expect(outcome.text == "value\n")
        #expect(outcome.error.contains("neither a claim nor a value"), "\(outcome)")
        #expect(outcome.error.contains("was abandoned, removed or reaped"), "\(outcome)")
        #expect(stage.run("get", "k").code == 1)
    }

    @Test func theCommandIsToldForWhatItWorksAndItsOptionsAreItsOwn() throws {
        let stage = Stage()
        let outcome = stage.script(
            """
            cd "$WORK"; flock-cache --store store run -- -odd/key \
                sh -c 'cd /; echo "$FLOCK_CACHE_DIR|$FLOCK_CACHE_KEY|$FLOCK_CACHE_GENERATION|$*"' \
                sh -n --help -- x
            """)
        #expect(outcome.code == 0, "\(outcome)")
        let fields = outcome.text.dropLast().split(separator: "|").map(String.init)
        try #require(fields.count == 4)
        #expect(fields[0] == stage.store)
        #expect(fields[1] == "-odd/key")
        #expect(try #require(UInt64(fields[2])) > 1_000_000)
        #expect(fields[3] == "-n --help -- x")
        #expect(stage.run("get", "--", "-odd/key").output == outcome.output)
    }

    @Test func theCommandBeginsAsFlockCacheWasStarted() {
        let stage = Stage()
        // What it reads, its file creation mask, its signals, and its descriptors: 7 is the caller's own,
        // to be inherited, and nothing of flock-cache's is there. (In a pipeline the shell's own ends of the
        // pipe would be seen or not.)
        let look = #"""
            sh -c 'cat; umask; grep -E "^Sig(Ign|Blk)" /proc/self/status
                ls /proc/$$/fd >$WORK/fds; xargs <$WORK/fds'
            """#
        let begin = """
            for fd in /proc/$$/fd/*; do
                [ ${fd##*/} -le 2 ] || eval "exec ${fd##*/}>&-"
            done
            umask 027; trap '' USR1; exec 7</dev/null
            echo from stdin | 
            """
        let outcome = stage.script(begin + "flock-cache run k -- " + look)
        let direct = stage.script(begin + look)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(direct.text.hasPrefix("from stdin\n0027\n"), "\(direct)")
        #expect(outcome.text == direct.text)
    }

    @Test func aCallerWhoIgnoresChildrenLosesNoExitCode() {
        let stage = Stage()
        let outcome = stage.script("trap '' CHLD; flock-cache run k -- sh -c 'exit 5'; echo $?")
        #expect(outcome.text == "5\n", "\(outcome)")
    }
}

/// Whether a process is a command of ours that sleeps: it waits then, or is about to.
func sleeps(_ process: pid_t) -> Bool {
    guard let stat = contents(of: "/proc/\(process)/stat"),
        let end = stat.lastIndex(of: UInt8(ascii: ")"))
    else { return false }
    let isCommand = String(decoding: stat[..<end], as: UTF8.self).hasSuffix("(flock-cache")
    return isCommand && stat[end + 2] == UInt8(ascii: "S")
}
