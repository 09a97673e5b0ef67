import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import TestHelpers

/// `lease run` that is stopped, and stays so, while its COMMAND runs: the process beside COMMAND ends it.
@Suite(.ownThreads) struct LeaseRunStoppedTests {
    private let stage = Stage()
    private var log: String { stage.directory("log") }

    /// A leader whose COMMAND writes into a file what it gets, and its number first.
    ///
    /// The time to live is long enough that a busy machine does not end it.
    private func lead(_ traps: String, killAfter: String = "1h") -> (Child, pid_t) {
        let runner = Child(
            builtProducts + "/flock-cache",
            [
                "lease", "run", "key", "--ttl", "1500ms", "--kill-after", killAfter, "--", "bash",
                "-c", "\(traps) echo $$; while :; do read -t 0.02 line; done",
            ], environment: stage.variables)
        let number = runner.line().flatMap { pid_t($0) } ?? 0
        #expect(number > 0)
        return (runner, number)
    }

    private var logged: [Substring] {
        String(decoding: contents(of: log) ?? [], as: UTF8.self).split(separator: "\n")
    }

    /// TERM once, from one of the two; the wrapper says why when it goes on.
    @Test func theCommandIsEndedAndToldOnce() {
        let (runner, command) = lead("trap 'echo term >>\(log)' TERM;")
        runner.kill(SIGSTOP)
        #expect(runner.waitForStop())
        let rival = stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s")
        let granted = BootTime.now
        #expect(rival.code == 0)
        #expect(waitUntil { !logged.isEmpty })
        let late = granted.milliseconds()
        print("TERM came \(late) ms after the next was granted it")
        // It obeys no TERM, and has an hour until KILL.
        runner.kill(SIGCONT)
        #expect(!hasEnded(command))
        runner.kill(SIGKILL)
        _ = runner.wait()
        #expect(waitUntil { hasEnded(command) })
        #expect(logged == ["term"])
    }

    @Test(arguments: [true, false]) func itIsGoneBeforeTheWrapperGoesOn(obeys: Bool) {
        let (runner, command) = lead(obeys ? "" : "trap '' TERM;", killAfter: "100ms")
        runner.kill(SIGSTOP)
        #expect(runner.waitForStop())
        #expect(waitUntil { hasEnded(command) })
        runner.kill(SIGCONT)
        let outcome = runner.outcome()
        #expect(outcome.code == 76 && outcome.error.contains("was stopped"), "\(outcome)")
        #expect(stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s").code == 0)
    }

    /// Renewed again and again, under a wrapper that runs.
    @Test func whoRenewsIsLeftAlone() {
        let (runner, command) = lead("trap 'echo term >>\(log)' TERM;")
        let leases = stage.store + "/leases/"
        let record = leases + names(in: leases)[0] + "/key"
        var seen: Set<[UInt8]> = []
        // Each renewal writes one: for more than twice the time to live.
        #expect(
            waitUntil {
                if let record = contents(of: record) { seen.insert(record) }
                return seen.count > 7
            })
        #expect(!hasEnded(command) && logged.isEmpty)
        runner.kill(SIGKILL)
        _ = runner.wait()
    }

    /// One that has left the group, and does not end at TERM.
    @Test func itIsKilledAlsoWhereItHasLeftTheGroup() {
        let runner = Child(
            builtProducts + "/flock-cache",
            [
                "lease", "run", "key", "--ttl", "1500ms", "--kill-after", "100ms", "--", "setsid",
                "bash", "-c", "trap '' TERM; echo $$; while :; do read -t 0.02 line; done",
            ], environment: stage.variables)
        let command = runner.line().flatMap { pid_t($0) } ?? 0
        #expect(command > 0)
        runner.kill(SIGSTOP)
        #expect(runner.waitForStop())
        #expect(waitUntil { hasEnded(command) })
        runner.kill(SIGCONT)
        #expect(runner.outcome().code == 76)
    }

    /// `lease run` has sent TERM itself, and is stopped before KILL is due.
    @Test func killComesAlsoWhereTheWrapperIsStoppedAfterTerm() {
        let (runner, command) = lead("trap 'echo term >>\(log)' TERM;", killAfter: "3s")
        #expect(stage.run("lease", "release", "key", "--force").code == 0)
        #expect(waitUntil { !logged.isEmpty })
        runner.kill(SIGSTOP)
        #expect(runner.waitForStop())
        #expect(waitUntil { hasEnded(command) })
        #expect(logged == ["term"])
        runner.kill(SIGCONT)
        #expect(runner.outcome().code == 76)
    }

    /// It has ended in time, and its code is what counts; what it left behind is left alone.
    @Test func whatAnEndedCommandLeftBehindIsLeftAlone() {
        let runner = Child(
            builtProducts + "/flock-cache",
            [
                "lease", "run", "key", "--ttl", "4s", "--", "bash", "-c",
                "sleep 600 >&- 2>&- & echo $!; read line; exit 9",
            ], environment: stage.variables)
        let left = runner.line().flatMap { pid_t($0) } ?? 0
        #expect(left > 0)
        runner.kill(SIGSTOP)
        #expect(runner.waitForStop())
        runner.tell("")
        #expect(waitUntil { commands(of: runner.id).isEmpty })
        #expect(stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s").code == 0)
        // Where it were ended, it would be half a second after that.
        let end = BootTime.now.advanced(by: .seconds(1))
        #expect(waitUntil { BootTime.now > end })
        #expect(!hasEnded(left))
        runner.kill(SIGCONT)
        #expect(runner.outcome().code == 76)
        kill(left, SIGKILL)
    }

    /// As the whole of it is by `^Z`: it does nothing, and is given its time when it goes on.
    @Test func aStoppedCommandGetsNoKill() {
        let (runner, command) = lead(
            "trap 'echo term >>\(log); sleep 1.5; echo done >>\(log); exit 3' TERM;",
            killAfter: "4s")
        kill(command, SIGSTOP)
        runner.kill(SIGSTOP)
        #expect(runner.waitForStop())
        #expect(stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s").code == 0)
        // TERM has been sent, which stays pending.
        #expect(waitUntil { pending(of: command).contains(SIGTERM) })
        // Longer than KILL takes to come to one that runs.
        let end = BootTime.now.advanced(by: .seconds(5))
        #expect(waitUntil { BootTime.now > end })
        #expect(!hasEnded(command) && logged.isEmpty)
        kill(command, SIGCONT)
        #expect(waitUntil { hasEnded(command) })
        #expect(logged == ["term", "done"])
        runner.kill(SIGCONT)
        #expect(runner.outcome().code == 76)
    }

    private func pending(of process: pid_t) -> [Int32] {
        let text = String(decoding: contents(of: "/proc/\(process)/status") ?? [], as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("ShdPnd:") } ?? ""
        let bits = UInt64(line.suffix(16), radix: 16) ?? 0
        return (1..<65).filter { bits >> UInt64($0 - 1) & 1 == 1 }
    }

    /// At its calls one by one, up to the tenth renewal or so, in a store that is there; in the short form a few of them.
    ///
    /// About ninety come before COMMAND.
    private func calls(_ name: String) -> [Int] {
        #expect(stage.run("lease", "acquire", "key", "--ttl", "1ms").code == 0)
        var random = Seeded("LeaseRunStoppedTests, \(name)")
        return wantsLongTests
            ? Array(1...250) : (0..<6).map { _ in Int.random(in: 60...250, using: &random) }
    }

    private func lead(faultAt fault: String) -> Child {
        var variables = stage.variables
        variables["FLOCK_CACHE_FAULT"] = fault
        return Child(
            builtProducts + "/flock-cache",
            [
                "lease", "run", "key", "--ttl", "300ms", "--kill-after", "100ms", "--", "sh", "-c",
                "trap '' TERM; while :; do sleep 0.02; done",
            ], environment: variables)
    }

    @Test func stoppedAtAnyOfItsCallsItsCommandEnds() {
        var running = 0
        for number in calls("stops") {
            let runner = lead(faultAt: "\(number):STOP")
            guard runner.waitForStop() else {
                // On a busy machine it may lose its lease before it comes that far.
                #expect(runner.wait() == .exit(76), "\(number)")
                continue
            }
            if !commands(of: runner.id).isEmpty { running += 1 }
            // Stopped within a change it keeps the next one waiting.
            let rival = stage.run("lease", "acquire", "key", "--ttl", "100ms", "-w", "3s")
            #expect(rival.code == 0 || rival.code == 124, "\(number): \(rival)")
            #expect(waitUntil { commands(of: runner.id).isEmpty }, "\(number)")
            runner.kill(SIGKILL)
            _ = runner.wait()
        }
        print("COMMAND was running at \(running) of the stops")
        #expect(running > 0 || !wantsLongTests)
    }

    @Test func killedAtAnyOfItsCallsItLeavesALeaseThatRunsOut() {
        var highest: UInt64 = 0
        for number in calls("kills") {
            let runner = lead(faultAt: "\(number):KILL")
            // On a busy machine it may lose its lease before it comes that far.
            let ending = runner.wait()
            #expect(ending == .signal(SIGKILL) || ending == .exit(76), "\(number): \(ending)")
            let next = stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s")
            let generation = next.generation ?? 0
            #expect(next.code == 0 && generation > highest, "\(number): \(next)")
            highest = generation
            let released = stage.run(
                "lease", "release", "key", "--generation", "\(generation)")
            #expect(released.code == 0, "\(number): \(released)")
        }
        #expect(stage.run("doctor").code == 0)
    }

    /// There COMMAND is in the wrapper's own group, in which nobody else is ended.
    @Test(.enabled(if: hasPython, "needs python3")) func soIsTheCommandAtATerminal() {
        let outcome = stage.python(
            """
            shell, terminal = begin("bash", "-c", '''
                trap 'echo shell' TERM
                flock-cache lease run key --ttl 1500ms --kill-after 1h -- bash -c '
                    trap "echo term; exit 3" TERM; echo $PPID; while :; do read -t 0.02 line; done'
                echo $?''')
            await_lines(1)
            wrapper = int(lines()[0])
            os.kill(wrapper, signal.SIGSTOP)
            await_lines(2)
            assert lines()[1:] == ["term"], lines()
            os.kill(wrapper, signal.SIGCONT)
            until(lambda: "76" in lines())
            assert "shell" not in lines(), lines()
            """)
        #expect(outcome.code == 0, "\(outcome)")
    }
}
