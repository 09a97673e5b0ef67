import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Signals to `lock`, and what becomes of COMMAND and of the lock.
@Suite(.ownThreads(minutes: 5)) struct LockSignalTests {
    private static let forwarded = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH]

    private let stage = Stage.forSignals

    @Test(.enabled(if: signalProgram != nil, "needs a C compiler"))
    func eachSignalReachesTheCommandOnceAndTheLockStays() throws {
        let holder = stage.startLock("k", "--", try #require(signalProgram))
        #expect(holder.line()?.hasPrefix("ready") == true)
        // A second arrival would be the next line.
        for signal in Self.forwarded + Self.forwarded.reversed() {
            holder.kill(signal)
            #expect(holder.line() == "\(signal)")
            #expect(!stage.isFree("k"))
        }
        holder.kill(SIGUSR2)
        #expect(holder.line() == "\(SIGUSR2)")
        holder.kill(SIGUSR2)
        #expect(holder.finish().code == 7)
        #expect(stage.isFree("k"))
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2])
    func aCommandThatGoesOnKeepsTheLock(signal: Int32) {
        let holder = stage.startLock(
            "k", "--", "bash", "-c",
            """
            trap 'echo caught' TERM INT HUP QUIT USR1 USR2
            echo begun; until [ -e $WORK/go ]; do read -t 0.02; done; exit 5
            """)
        #expect(holder.line() == "begun")
        holder.kill(signal)
        #expect(holder.line() == "caught")
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        write("".utf8, to: stage.directory("go"))
        let outcome = holder.finish()
        #expect(outcome.ending == .exit(5) && outcome.text.isEmpty, "\(outcome)")
        #expect(stage.isFree("k"))
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2])
    func aSignalThatEndsTheCommandIsItsEnd(signal: Int32) {
        let holder = stage.startLock("k", "--", "sh", "-c", "ulimit -c 0; echo begun; exec cat")
        #expect(holder.line() == "begun")
        holder.kill(signal)
        #expect(holder.finish().ending == .signal(signal))
        #expect(stage.isFree("k"))
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGKILL])
    func whoOnlyWaitsDiesByASignalAndLeavesNothing(signal: Int32) {
        let holder = stage.hold("k")
        let waiter = stage.startLock("k", "--", "touch", stage.directory("ran"))
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        waiter.kill(signal)
        #expect(waiter.wait() == .signal(signal))
        #expect(holder.outcome().code == 0)
        #expect(waitUntil { stage.isFree("k") })
        #expect(stage.who().isEmpty)
        #expect(!names(in: stage.directory.path).contains("ran"))
    }

    // With several keys, those that were taken before the one that is waited for.
    @Test func whoWaitsForTheSecondOfTwoGivesTheFirstBack() {
        let holder = stage.hold("b")
        let waiter = stage.startLock("a", "b", "--", "true")
        #expect(waitUntil { stage.waiters(of: "b") == 1 })
        #expect(!stage.isFree("a"))
        waiter.kill(SIGTERM)
        #expect(waiter.wait() == .signal(SIGTERM))
        #expect(stage.isFree("a"))
        #expect(stage.lock("-w", "50ms", "a", "b", "--", "true").code == 124)
        #expect(stage.isFree("a"))
        #expect(holder.outcome().code == 0)
    }

    // MARK: When it is killed itself

    @Test func killedItTakesTheCommandWithItAndTheLockIsFree() throws {
        let holder = stage.startLock("k", "--", "sh", "-c", "echo $$; exec cat")
        let command = try #require(holder.line().flatMap { Int32($0) })
        let waiter = stage.startLock("k", "--", "echo", "next")
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        holder.kill(SIGKILL)
        #expect(holder.wait() == .signal(SIGKILL))
        #expect(waitUntil { hasEnded(command) })
        let outcome = waiter.finish()
        #expect(outcome.code == 0 && outcome.text == "next\n", "\(outcome)")
    }

    // The next COMMAND looks whether the one before it has ended, or has KILL before it.
    @Test func theNextCommandDoesNotMeetTheOneOfAKilledHolder() throws {
        let rounds = wantsLongTests ? 500 : 60
        var met = 0
        for _ in 0..<rounds {
            let holder = stage.startLock("k", "--", "sh", "-c", "echo $$; exec cat")
            let command = try #require(holder.line())
            let next = stage.start(
                """
                echo ready
                until flock-cache lock -qn k -- \
                    sh -c "grep -E '^(State|SigPnd|ShdPnd)' /proc/\(command)/status 2>&1 || true"
                do :; done
                """)
            #expect(next.line() == "ready")
            holder.kill(SIGKILL)
            let outcome = next.finish()
            #expect(outcome.code == 0, "\(outcome)")
            _ = holder.wait()
            guard outcome.text.contains("(sleeping)") || outcome.text.contains("(running)") else {
                continue
            }
            // The ninth bit from the end.
            let isKilled = outcome.text.split(separator: "\n").contains { line in
                line.contains("Pnd")
                    && line.dropLast(2).last.map { "13579bdf".contains($0) } == true
            }
            if !isKilled { met += 1 }
        }
        #expect(met == 0, "of \(rounds)")
    }

    // Killed at each of its system calls: the lock is free, and COMMAND does not run on.
    @Test func killedAtAnyOfItsCallsItLeavesNothing() {
        #expect(stage.lock("k", "--", "true").code == 0)
        for number in 1... {
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(number):KILL"
            let holder = Child(
                builtProducts + "/flock-cache",
                ["lock", "a", "k", "--", "sh", "-c", "echo $$ >$WORK/pid"], environment: variables)
            let outcome = holder.finish()
            if let pid = contents(of: stage.directory("pid")) {
                let command = Int32(String(decoding: pid.dropLast(), as: UTF8.self)) ?? 0
                #expect(waitUntil { hasEnded(command) }, "\(number)")
            }
            #expect(stage.isFree("k") && stage.isFree("a"), "\(number)")
            #expect(stage.who().isEmpty, "\(number)")
            if outcome.ending == .exit(0) { break }
            #expect(outcome.ending == .signal(SIGKILL), "\(number)")
        }
    }

    // Stopped at each of its system calls, and sent a signal there: it dies without having run COMMAND, or
    // COMMAND gets it.
    @Test(arguments: [SIGTERM, SIGHUP])
    func aSignalAtAnyOfItsCallsIsNotLost(signal: Int32) {
        #expect(stage.lock("k", "--", "true").code == 0)
        for number in 1... {
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(number):STOP"
            let holder = Child(
                builtProducts + "/flock-cache",
                ["lock", "k", "--", "sh", "-c", "echo begun; exec cat"], environment: variables)
            // How many calls there are differs from run to run; see "Running the tests" in contributing.md.
            #expect(waitUntil { isIn("T", holder.id) || isIn("Z", holder.id) || runs(holder.id) })
            #expect(!isIn("Z", holder.id), "it ended")
            let hasBegun = !isIn("T", holder.id)
            holder.kill(signal)
            // Then the signal takes it to the call at which it stops, or to its end.
            if hasBegun { #expect(waitUntil { isIn("T", holder.id) || isIn("Z", holder.id) }) }
            holder.kill(SIGCONT)
            let ending = holder.finish().ending
            #expect(ending == .signal(signal), "\(number)")
            #expect(stage.isFree("k"), "\(number)")
            // Behind its last call before COMMAND is there it stops no more.
            if hasBegun { break }
            #expect(number < 200, "COMMAND never began")
            if number == 200 { break }
        }
    }
}

private func isIn(_ state: Character, _ process: pid_t) -> Bool {
    let stat = String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self)
    return stat.contains(") \(state) ")
}

/// Whether it waits for its COMMAND, which has come to the end of its script.
private func runs(_ process: pid_t) -> Bool {
    let path = "/proc/\(process)/task/\(process)/children"
    let children = String(decoding: contents(of: path) ?? [], as: UTF8.self)
    return isIn("S", process)
        && children.split(separator: " ").contains {
            contents(of: "/proc/\($0)/comm") == Array("cat\n".utf8)
        }
}
