import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `run` and processes that COMMAND leaves behind: what they still write belongs to the value, and a value is
/// published complete or not at all.
@Suite(.ownThreads) struct OutputWaitTests {
    /// A COMMAND that ends at once and leaves a process behind, which holds the output until it is told to go on.
    private static let leaving =
        #"{ read go <"$WORK/go"; echo late; } & echo $$ >"$WORK/command"; echo early"#

    /// Starts `run` with that COMMAND, and waits until COMMAND has ended and its end has been seen.
    private func startAndLeave(
        _ stage: Stage, _ options: String = "--output-wait forever", ending: String = "exit 0"
    ) throws -> Child {
        #expect(mkfifo(stage.directory("go"), 0o600) == 0)
        let runner = stage.start(
            "exec flock-cache run \(options) k -- sh -c '\(Self.leaving); \(ending)'")
        #expect(runner.line() == "early")
        try waitForEnd(of: number("command", stage))
        return runner
    }

    /// A process number that a script has written, waiting for it.
    private func number(_ name: String, _ stage: Stage) throws -> pid_t {
        var number: pid_t?
        #expect(
            waitUntil {
                let text = contents(of: stage.directory(name)).map {
                    String(decoding: $0, as: UTF8.self)
                }
                guard let text, text.hasSuffix("\n") else { return false }
                number = pid_t(text.dropLast())
                return true
            })
        return try #require(number)
    }

    private func waitForEnd(of process: pid_t) throws {
        #expect(waitUntil { kill(process, 0) != 0 && errno == ESRCH })
    }

    /// Lets the process that was left behind go on.
    private func letGo(_ stage: Stage) {
        write("go\n".utf8, to: stage.directory("go"))
    }

    @Test(.enabled(if: isInstalled("bash")))
    func theOutputOfAProcessSubstitutionIsComplete() {
        let stage = Stage()
        for round in 0..<5 {
            let outcome = stage.script(
                """
                flock-cache run k\(round) -- bash -c 'seq 20000 > >(sed s/^/x/)' >$WORK/out || exit
                cmp - $WORK/out < <(seq 20000 | sed s/^/x/) || exit 10
                flock-cache get k\(round) | cmp - $WORK/out || exit 11
                """)
            #expect(outcome.code == 0, "\(outcome)")
        }
    }

    @Test func theValueIsCompleteWhenTheLastWriterHasClosedIt() throws {
        let stage = Stage()
        let runner = try startAndLeave(stage)
        #expect(stage.run("get", "k").code == 75)
        #expect(stage.run("run", "-n", "k", "echo", "never").code == 75)
        letGo(stage)
        let outcome = runner.outcome()
        #expect(outcome.code == 0 && outcome.text == "late\n" && outcome.error == "", "\(outcome)")
        #expect(stage.run("get", "k").text == "early\nlate\n")
    }

    @Test(arguments: ["--output-wait 50ms", "--output-wait=0"])
    func aWriterThatStaysIsNamedAndNothingIsPublished(option: String) throws {
        let stage = Stage()
        let outcome = stage.script(
            """
            trap 'kill $(cat $WORK/sleeper)' EXIT
            # Before it executes, the child is another sh.
            flock-cache run \(option) k -- sh -c '
                sleep 1000 & echo $! >$WORK/sleeper
                until grep -q sleep /proc/$!/comm; do :; done
                echo value'
            """)
        let sleeper = try number("sleeper", stage)
        #expect(outcome.code == 125, "\(outcome)")
        #expect(outcome.text == "value\n")
        #expect(outcome.error.contains("pid \(sleeper) (sleep) still holds"), "\(outcome)")
        #expect(outcome.error.contains("--output-wait"), "\(outcome)")
        #expect(stage.run("stats").text == "pending 0\nready 0\nbytes 0\n")
        #expect(stage.run("run", "--output-wait=0", "k", "echo", "next").text == "next\n")
        #expect(stage.run("get", "k").text == "next\n")
    }

    // The writer's own descriptors cannot be looked at: those of a process that is not dumpable are root's.
    @Test(.enabled(if: canBeNobody && isInstalled("python3")))
    func aWriterThatCannotBeSeenIsSaidToBeSo() throws {
        let stage = Stage()
        #expect(chown(stage.directory.path, 65534, 65534) == 0)
        write(
            """
            import ctypes, os, time
            if os.fork():
                os._exit(0)
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
            open("sleeper", "w").write(str(os.getpid()) + "\\n")
            time.sleep(1000)
            """.utf8, to: stage.directory("hide.py"))
        let outcome = stage.script(
            """
            cd $WORK; trap 'kill $(cat $WORK/sleeper)' EXIT
            setpriv \(nobody.joined(separator: " ")) flock-cache run --output-wait 50ms k -- \
                sh -c 'python3 hide.py; until [ -s sleeper ]; do :; done'
            """)
        #expect(outcome.code == 125, "\(outcome)")
        #expect(outcome.error.contains("a process that cannot be seen from here"), "\(outcome)")
    }

    @Test func outputThatNeverEndsIsNotWaitedForLonger() {
        let stage = Stage()
        let outcome = stage.script(
            // An output that is read for ever would be a test without end.
            "timeout 120 flock-cache run --output-wait 50ms k -- sh -c 'yes & echo value' >/dev/null"
        )
        #expect(outcome.code == 125, "\(outcome)")
        #expect(outcome.error.contains("(yes) still holds"), "\(outcome)")
        #expect(stage.run("get", "k").code == 1)
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT])
    func aSignalEndsTheWaitAndAWaiterIsNext(signal: Int32) throws {
        let stage = Stage()
        let runner = try startAndLeave(stage)
        let waiter = stage.start("exec flock-cache run k -- echo next")
        #expect(waitUntil { sleeps(waiter.id) })
        runner.kill(signal)
        #expect(runner.wait() == .signal(signal))
        #expect(waiter.outcome().text == "next\n")
        letGo(stage)
        #expect(stage.run("get", "k").text == "next\n")
    }

    // COMMAND makes of the signal what it likes; that the output is still held is then not waited for.
    @Test func aSignalBeforeTheEndOfCommandEndsTheWaitToo() throws {
        let stage = Stage()
        let runner = stage.start(
            """
            exec flock-cache run --output-wait forever k -- \
                sh -c 'trap "" TERM; sleep 1000 & echo $! >$WORK/sleeper; trap "exit 0" TERM; echo ready; wait'
            """)
        #expect(runner.line() == "ready")
        runner.kill(SIGTERM)
        #expect(runner.wait() == .signal(SIGTERM))
        kill(try number("sleeper", stage), SIGKILL)
        #expect(stage.run("get", "k").code == 1)
    }

    @Test(.enabled(if: isInstalled("python3")))
    func theWaitIsSaidOnATerminal() throws {
        let stage = Stage()
        #expect(mkfifo(stage.directory("go"), 0o600) == 0)
        let outcome = TestSupport.run(
            "python3",
            [
                "-c",
                #"""
                import os, pty, signal, sys
                signal.alarm(120)
                process, terminal = pty.fork()
                if process == 0:
                    os.execvp(sys.argv[1], sys.argv[1:])
                told = b""
                while b"end of COMMAND's output" not in told:
                    told += os.read(terminal, 4096)
                open(os.environ["WORK"] + "/go", "w").write("go\n")
                print(told.decode())
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
                """#,
                "flock-cache", "run", "--output-wait", "forever", "k", "--", "sh", "-c",
                Self.leaving,
            ], environment: stage.variables)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text.contains("(sh) holds it open; without end"), "\(outcome)")
        #expect(stage.run("get", "k").text == "early\nlate\n")
    }

    // The first signal is ignored since before the start, the second means nothing without a COMMAND.
    @Test func otherSignalsDoNotEndTheWait() throws {
        let stage = Stage()
        #expect(mkfifo(stage.directory("go"), 0o600) == 0)
        let runner = stage.start(
            """
            trap '' HUP
            exec flock-cache run --output-wait forever k -- sh -c '\(Self.leaving)'
            """)
        #expect(runner.line() == "early")
        try waitForEnd(of: number("command", stage))
        runner.kill(SIGHUP)
        runner.kill(SIGUSR1)
        letGo(stage)
        #expect(runner.outcome().code == 0)
        #expect(stage.run("get", "k").text == "early\nlate\n")
    }

    @Test func aRunnerThatIsKilledInTheWaitIsFollowedByAWaiter() throws {
        let stage = Stage()
        let runner = try startAndLeave(stage)
        let waiter = stage.start("exec flock-cache run k -- echo next")
        #expect(waitUntil { sleeps(waiter.id) })
        runner.kill(SIGKILL)
        #expect(waiter.outcome().text == "next\n")
        letGo(stage)
        #expect(stage.run("get", "k").text == "next\n")
    }

    @Test func ofAFailingCommandAllIsPassedOnAndTheKeyIsFreeAtOnce() throws {
        let stage = Stage()
        let runner = try startAndLeave(stage, ending: "exit 3")
        #expect(waitUntil { stage.run("get", "k").code == 1 })
        letGo(stage)
        let outcome = runner.outcome()
        #expect(outcome.code == 3 && outcome.text == "late\n", "\(outcome)")
        #expect(stage.run("get", "k").code == 1)
    }

    @Test func ofACommandThatASignalHasEndedNothingMoreIsWaitedFor() {
        let stage = Stage()
        let outcome = stage.script(
            """
            trap 'kill $(cat $WORK/sleeper)' EXIT
            flock-cache run --output-wait forever k -- \
                sh -c 'sleep 1000 & echo $! >$WORK/sleeper; echo value; kill -KILL $$'
            echo $?
            """)
        #expect(outcome.text == "value\n137\n", "\(outcome)")
    }

    @Test func theLimitIsADurationOrForever() {
        let stage = Stage()
        #expect(stage.run("run", "--output-wait", "soon", "k", "true").code == 125)
        #expect(stage.run("run", "--output-wait", "forever", "k", "echo", "v").text == "v\n")
        #expect(stage.run("help", "run").text.contains("--output-wait D"))
    }
}
