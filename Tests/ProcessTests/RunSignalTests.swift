import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Signals to `run`, and the end of it.
@Suite(.ownThreads(minutes: 5)) struct RunSignalTests {
    private static let forwarded = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH]

    private let stage: Stage = {
        var stage = Stage()
        // In a debug build the Swift runtime would take QUIT as a request for a backtrace.
        stage.variables["SWIFT_BACKTRACE"] = "enable=no"
        return stage
    }()

    private func start(_ arguments: String...) -> Child {
        Child(builtProducts + "/flock-cache", ["run"] + arguments, environment: stage.variables)
    }

    @Test(.enabled(if: signalProgram != nil, "needs a C compiler"))
    func eachSignalReachesTheCommandOnce() throws {
        let runner = start("k", "--", try #require(signalProgram))
        #expect(runner.line()?.hasPrefix("ready") == true)
        // A second arrival would be the next line.
        for signal in Self.forwarded + Self.forwarded.reversed() {
            runner.kill(signal)
            #expect(runner.line() == "\(signal)")
        }
        runner.kill(SIGUSR2)
        #expect(runner.line() == "\(SIGUSR2)")
        runner.kill(SIGUSR2)
        #expect(runner.finish().code == 7)
    }

    // Who prints into a pipe that is full, and is not read, still gets its signals.
    @Test func aSignalReachesTheCommandAlsoWhileNobodyReadsItsOutput() throws {
        let runner = start("k", "--", "sh", "-c", "echo $$; exec yes")
        let command = try #require(runner.line().flatMap { Int32($0) })
        // It sleeps when nobody takes any more.
        #expect(waitUntil { isInState("(yes) S", command) })
        runner.kill(SIGTERM)
        #expect(waitUntil { stage.entryFiles.isEmpty })
        // What it had printed is still there for whoever reads it.
        let outcome = runner.finish()
        #expect(outcome.ending == .signal(SIGTERM), "\(outcome.ending)")
        #expect(outcome.output.count > 60000 && outcome.text.contains("y\ny\n"))
    }

    // COMMAND has ended, nothing is left to protect, and the reader never comes.
    @Test func whileTheRestIsPassedOnASignalEndsIt() {
        let runner = start("k", "--", "head", "-c", "100000", "/dev/zero")
        #expect(waitUntil { stage.entryFile("k") != nil })
        runner.kill(SIGTERM)
        #expect(runner.wait() == .signal(SIGTERM))
        #expect(stage.run("get", "k").output.count == 100_000)
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1])
    func aSignalThatEndsTheCommandIsItsEnd(signal: Int32) {
        let runner = start("k", "--", "sh", "-c", "ulimit -c 0; echo begun; exec cat")
        #expect(runner.line() == "begun")
        runner.kill(signal)
        #expect(runner.finish().ending == .signal(signal))
        #expect(stage.entryFiles.isEmpty)
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT])
    func whoOnlyWaitsDiesByASignalAndLeavesNothing(signal: Int32) {
        let runner = start("k", "--", "sh", "-c", "echo begun; read end")
        #expect(runner.line() == "begun")
        let files = stage.entryFiles
        let waiter = start("k", "--", "touch", stage.directory("ran"))
        // It sleeps between its looks.
        #expect(waitUntil { isAsleep(waiter.id) })
        waiter.kill(signal)
        #expect(waiter.wait() == .signal(signal))
        #expect(stage.entryFiles == files)
        runner.tell("end")
        #expect(runner.finish().ending == .exit(0))
        #expect(!names(in: stage.directory.path).contains("ran"))
    }

    // Stopped at each of its system calls, and sent a signal there.
    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2])
    func aSignalBetweenTheClaimAndTheCommandIsTheCommands(signal: Int32) {
        // The calls that make a store are not what this is about.
        stage.publish("other", "v")
        var between = 0
        for number in 1... {
            let key = "k\(number)"
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(number):STOP"
            let runner = Child(
                builtProducts + "/flock-cache",
                ["run", key, "--", "sh", "-c", "echo $$ >$WORK/\(key); exec cat"],
                environment: variables)
            // How many calls there are differs; see "Running the tests" in contributing.md.
            #expect(waitUntil { isInState(") T", runner.id) || hasChild(runner.id) })
            if hasChild(runner.id) { break }
            let isClaimed = stage.entryFile(key + ".pending") != nil
            runner.kill(signal)
            runner.kill(SIGCONT)
            let ending = runner.finish().ending
            if isClaimed { between += 1 }
            // Before the claim it dies by it; behind the claim COMMAND does, and with that the command itself.
            #expect(ending == .signal(signal), "\(number)")
            #expect(stage.entryFile(key + ".pending") == nil, "\(number)")
            #expect(stage.entryFile(key) == nil, "\(number)")
        }
        print("signal \(signal): \(between) calls between claim and command")
        #expect(between >= 3)
    }

    // MARK: When it is killed itself

    @Test func killedItTakesTheCommandWithItAndTheNextTakesOver() throws {
        let runner = start("k", "--", "sh", "-c", "echo $$; exec cat")
        let command = try #require(runner.line().flatMap { Int32($0) })
        let waiters = (0..<4).map { _ in
            start("k", "--", "sh", "-c", "echo run >>$WORK/runs; echo next")
        }
        runner.kill(SIGKILL)
        #expect(runner.wait() == .signal(SIGKILL))
        let outcomes = waiters.map { $0.finish() }
        #expect(outcomes.allSatisfy { $0.code == 0 && $0.text == "next\n" }, "\(outcomes)")
        #expect(waitUntil { hasEnded(command) })
        #expect(contents(of: stage.directory("runs")) == Array("run\n".utf8))
        let took = outcomes.filter {
            $0.error.contains("took over 'k': its owner, pid \(runner.id) (flock")
        }
        #expect(took.count == 1, "\(outcomes)")
    }

    // The next COMMAND looks whether the one before it has ended, or has KILL before it: then it does
    // nothing more, however long the machine takes to end it.
    @Test func theNextCommandDoesNotMeetTheOneOfAKilledRunner() throws {
        let rounds = wantsLongTests ? 500 : 40
        var (met, dying) = (0, 0)
        for round in 0..<rounds {
            let runner = start("k\(round)", "--", "sh", "-c", "echo $$; exec cat")
            let command = try #require(runner.line())
            let next = start(
                "k\(round)", "--", "sh", "-c",
                "grep -E '^(State|SigPnd|ShdPnd)' /proc/\(command)/status 2>&1 || true")
            #expect(waitUntil { isAsleep(next.id) })
            runner.kill(SIGKILL)
            let outcome = next.finish()
            #expect(outcome.code == 0, "\(outcome)")
            _ = runner.wait()
            guard outcome.text.contains("(sleeping)") || outcome.text.contains("(running)") else {
                continue
            }
            // The ninth bit from the end.
            let isKilled = outcome.text.split(separator: "\n").contains { line in
                line.contains("Pnd")
                    && line.dropLast(2).last.map { "13579bdf".contains($0) } == true
            }
            if isKilled { dying += 1 } else { met += 1 }
        }
        print("a killed runner's command: \(rounds) times, \(dying) dying, \(met) met")
        #expect(met == 0)
    }

    // MARK: Terminals

    /// Runs a Python program with `pty`, whose lines say what was seen.
    private func atTerminal(_ program: String) -> [String] {
        var variables = stage.variables
        variables["COMMAND"] = signalProgram
        let prelude = """
            import fcntl, os, pty, select, signal, struct, sys, termios, time
            log = os.environ["WORK"] + "/log"
            def begin(*words):
                pid, terminal = pty.fork()
                if pid == 0:
                    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                    os.dup2(output, 1)
                    os.dup2(output, 2)
                    os.execvp(words[0], words)
                return pid, terminal
            def lines():
                with open(log) as file: return file.read().split("\\n")[:-1]
            def await_lines(count):
                end = time.monotonic() + 30
                while not os.path.exists(log) or len(lines()) < count:
                    if time.monotonic() > end: sys.exit("only " + repr(lines()))
                    time.sleep(0.001)
            run = ["flock-cache", "run", "k", "--", os.environ["COMMAND"]]

            """
        let outcome = TestSupport.run("python3", ["-c", prelude + program], environment: variables)
        #expect(outcome.code == 0, "\(outcome)")
        return outcome.text.split(separator: "\n").map(String.init)
    }

    private static let hasTerminals = signalProgram != nil && isInstalled("python3")

    @Test(.enabled(if: hasTerminals, "needs python3 and a C compiler"))
    func keysAtTheTerminalReachTheCommandOnce() throws {
        let lines = atTerminal(
            """
            pid, terminal = begin(*run)
            await_lines(1)
            os.write(terminal, b"\\x03"); await_lines(2)
            os.write(terminal, b"\\x1c"); await_lines(3)
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
            await_lines(4)
            # What the terminal sent twice would be seen before these: signals are read in order.
            os.kill(pid, signal.SIGUSR2); await_lines(5)
            os.kill(pid, signal.SIGUSR2); await_lines(6)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            print("\\n".join(lines()[1:]))
            """)
        #expect(lines == ["7", "2", "3", "28", "12", "12"])
    }

    // It has left the terminal's group, so the kernel has told it nothing.
    @Test(.enabled(if: hasTerminals, "needs python3 and a C compiler"))
    func keysAtTheTerminalReachACommandThatHasLeftTheGroup() throws {
        let lines = atTerminal(
            """
            pid, terminal = begin(*run, "apart")
            await_lines(1)
            os.write(terminal, b"\\x03"); await_lines(2)
            os.kill(pid, signal.SIGUSR2); await_lines(3)
            os.kill(pid, signal.SIGUSR2); await_lines(4)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            print("\\n".join(lines()[1:]))
            """)
        #expect(lines == ["7", "2", "12", "12"])
    }

    // That it has hung up the kernel tells the session's leader alone.
    @Test(.enabled(if: hasTerminals, "needs python3 and a C compiler"))
    func theEndOfTheTerminalReachesTheCommandOnce() throws {
        let lines = atTerminal(
            """
            pid, terminal = begin(*run)
            await_lines(1)
            os.close(terminal); await_lines(2)
            os.kill(pid, signal.SIGUSR2); await_lines(3)
            os.kill(pid, signal.SIGUSR2); await_lines(4)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            print("\\n".join(lines()[1:]))
            """)
        #expect(lines == ["7", "1", "12", "12"])
    }

    // Under a shell with a prompt it is not the leader, and the terminal's group is the shell's to tell.
    @Test(.enabled(if: hasTerminals, "needs python3 and a C compiler"))
    func aKeyThatEndsTheCommandIsItsEnd() throws {
        let lines = atTerminal(
            """
            pid, terminal = begin("bash", "-c", "flock-cache run k -- sh -c 'echo begun; exec cat'; echo $?")
            await_lines(1)
            os.write(terminal, b"\\x03")
            os.waitpid(pid, 0)
            print("\\n".join(lines()))
            """)
        // The shell has had the key as well, and sees that its child died of it.
        #expect(lines == ["begun"])
        #expect(stage.entryFiles.isEmpty)
    }
}

private func isAsleep(_ process: Int32) -> Bool { isInState(") S", process) }

private func isInState(_ state: String, _ process: Int32) -> Bool {
    contents(of: "/proc/\(process)/stat").map {
        String(decoding: $0, as: UTF8.self).contains("\(state) ")
    } ?? false
}

private func hasChild(_ process: Int32) -> Bool {
    names(in: "/proc").contains { name in
        guard Int32(name) != nil, let status = contents(of: "/proc/\(name)/stat"),
            let end = status.lastIndex(of: UInt8(ascii: ")"))
        else { return false }
        // Behind the name: the state, and the parent.
        let fields = String(decoding: status[end...], as: UTF8.self).split(separator: " ")
        return fields.count > 2 && fields[2] == "\(process)"
    }
}
