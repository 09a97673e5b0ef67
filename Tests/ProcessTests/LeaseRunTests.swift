import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import TestHelpers

/// `lease run`: renewed while COMMAND runs, released when it has ended, COMMAND ended when it is lost.
@Suite(.ownThreads) struct LeaseRunTests {
    private let stage = Stage()

    private var isFree: Bool { stage.run("who", "key").code == 1 }

    @Test func theCommandsOwnEndReleasesAtOnce() {
        let outcome = stage.script(
            """
            flock-cache lease run key --ttl 1h -- sh -c 'echo $FLOCK_CACHE_KEY $FLOCK_CACHE_GENERATION; exit 7'
            echo $?; flock-cache lease run key -n --ttl 1h -- sh -c 'kill -TERM $$'; echo $?
            flock-cache lease run key -n --slots 3 --ttl 1h -- sh -c 'echo $FLOCK_CACHE_SLOT'
            flock-cache lease run key --ttl 1h -- nosuch; echo $?; flock-cache lease run key -- true; echo $?
            """)
        let lines = outcome.text.split(separator: "\n").map(String.init)
        #expect(lines.count == 6 && lines[0].hasPrefix("key 1"), "\(outcome)")
        #expect(lines.dropFirst() == ["7", "143", "0", "127", "125"], "\(outcome)")
        #expect(isFree)
    }

    @Test func othersWaitOrAreToldThatItIsTaken() {
        let holder = stage.start(
            "flock-cache lease run key --ttl 1h -- sh -c 'echo begun; read line'")
        #expect(holder.line() == "begun")
        #expect(stage.run("lease", "run", "key", "-n", "--ttl", "1h", "--", "true").code == 75)
        #expect(
            stage.run("lease", "run", "key", "-w", "20ms", "--ttl", "1h", "--", "true").code == 124)
        let code = stage.run("lease", "run", "key", "-n", "-E", "9", "--ttl", "1h", "--", "true")
            .code
        #expect(code == 9)
        let waiter = stage.start("flock-cache lease run key --ttl 1h -- echo mine")
        holder.tell("")
        #expect(waiter.line() == "mine")
        #expect(holder.outcome().code == 0 && waiter.outcome().code == 0)
    }

    /// Five times its time to live.
    @Test func itIsRenewedWhileTheCommandRuns() {
        let outcome = stage.script(
            """
            flock-cache lease run key --ttl 600ms -- sh -c '
                for i in $(seq 60); do
                    flock-cache lease check key --generation $FLOCK_CACHE_GENERATION || echo lost
                    flock-cache lease acquire key --ttl 1h -q && echo taken
                    read -t 0.05 line
                done; echo done'
            """.replacing("sh -c '", with: "bash -c '"))
        #expect(outcome.text == "done\n" && outcome.code == 0, "\(outcome)")
        #expect(isFree)
    }

    /// Stopped for longer than its time to live, and somebody else has it.
    @Test(arguments: [true, false]) func losingItEndsTheCommand(obeys: Bool) {
        let ignore = obeys ? "" : "trap '' TERM;"
        let runner = Child(
            builtProducts + "/flock-cache",
            [
                "lease", "run", "key", "--ttl", "200ms", "--kill-after", "300ms", "--", "bash",
                "-c",
                "\(ignore) echo $$; while :; do read -t 0.02 line; done",
            ], environment: stage.variables)
        let command = runner.line().flatMap { pid_t($0) } ?? 0
        #expect(command > 0)
        runner.kill(SIGSTOP)
        #expect(runner.waitForStop())
        let rival = stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s")
        #expect(rival.code == 0)
        runner.kill(SIGCONT)
        let outcome = runner.outcome()
        #expect(outcome.code == 76 && outcome.error.contains("was lost"), "\(outcome)")
        #expect(kill(command, 0) != 0, "COMMAND has ended")
        let generation = rival.generation ?? 0
        #expect(stage.run("lease", "check", "key", "--generation", "\(generation)").code == 0)
    }

    /// The next renewal would be in twenty minutes.
    @Test func oneThatIsEndedByForceEndsTheCommand() {
        let runner = stage.start(
            "flock-cache lease run key --ttl 1h -- sh -c 'echo begun; exec sleep 600'")
        #expect(runner.line() == "begun")
        #expect(stage.run("lease", "release", "key", "--force").code == 0)
        let start = BootTime.now
        let outcome = runner.outcome()
        print("ended by force: COMMAND's end was seen \(start.milliseconds()) ms later")
        #expect(outcome.code == 76 && outcome.error.contains("was lost"), "\(outcome)")
    }

    @Test func aKilledWrapperTakesTheCommandDownAndTheLeaseRunsOut() {
        let runner = Child(
            builtProducts + "/flock-cache",
            ["lease", "run", "key", "--ttl", "300ms", "--", "sh", "-c", "echo $$; exec sleep 600"],
            environment: stage.variables)
        let command = runner.line().flatMap { pid_t($0) } ?? 0
        #expect(command > 0 && !isFree)
        runner.kill(SIGKILL)
        _ = runner.wait()
        #expect(waitUntil { kill(command, 0) != 0 })
        #expect(stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s").code == 0)
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGUSR1])
    func signalsReachTheCommand(signal: Int32) {
        let runner = Child(
            builtProducts + "/flock-cache",
            [
                "lease", "run", "key", "--ttl", "1h", "--", "bash", "-c",
                "trap 'echo got; exit 3' \(signal); echo begun; while :; do read -t 0.02 line; done",
            ], environment: stage.variables)
        #expect(runner.line() == "begun")
        runner.kill(signal)
        #expect(runner.line() == "got")
        #expect(runner.outcome().code == 3 && isFree)
    }
}
