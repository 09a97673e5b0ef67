import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Each signal reaches COMMAND once, whoever sends it and to whom, and COMMAND's children end with it: without a
/// terminal, where COMMAND has a process group of its own.
@Suite(
    .ownThreads(minutes: 5),
    .enabled(if: hasPython && isInstalled("setsid"), "needs python3 and setsid"))
struct SignalOnceTests {
    private let stage = Stage.forSignals

    private static let verbs = ["lock k --", "run k --", "lease run k --ttl 1h --"]

    // timeout(1) sends to its child and then to its group: the wrapper gets both, and one is meant.
    @Test(arguments: verbs) func theSignalOfTimeoutReachesCommandOnce(verb: String) throws {
        for _ in 0..<(wantsLongTests ? 50 : 4) {
            let counter = try SignalCounter(stage, verb, under: "timeout 60")
            // To timeout itself, which passes it on as it does when the time is over.
            counter.wrapper.kill(SIGTERM)
            #expect(counter.finish() == ["15", "12"])
            #expect(waitUntil { hasEnded(counter.child) })
        }
    }

    @Test(arguments: verbs, [true, false])
    func aSignalReachesCommandAndItsChildrenOnce(verb: String, isToGroup: Bool) throws {
        let counter = try SignalCounter(stage, verb)
        kill(isToGroup ? -counter.wrapper.id : counter.wrapper.id, SIGTERM)
        #expect(counter.finish() == ["15", "12"])
        #expect(counter.wrapper.wait() == .exit(7))
        #expect(waitUntil { hasEnded(counter.child) })
    }

    // A service manager sends to each process of the service by itself.
    @Test(arguments: verbs) func whatEachProcessIsSentReachesCommandOnce(verb: String) throws {
        let counter = try SignalCounter(stage, verb)
        let session = counter.wrapper.id
        let processes = names(in: "/proc").compactMap { pid_t($0) }.filter { getsid($0) == session }
        #expect(processes.count == 4, "the wrapper, its attendant, COMMAND and its child")
        for process in [session] + processes.filter({ $0 != session }) { kill(process, SIGTERM) }
        #expect(counter.finish() == ["15", "12"])
        #expect(counter.wrapper.wait() == .exit(7))
    }

    // A signal to all processes of our name, as pkill(1) sends it, is not for the attendant.
    @Test func theAttendantGoesByAnotherName() throws {
        let counter = try SignalCounter(stage, "lock k --")
        let attendant = try #require(self.attendant(of: counter))
        for file in ["comm", "cmdline"] {
            let name = String(
                decoding: contents(of: "/proc/\(attendant)/\(file)") ?? [], as: UTF8.self)
            #expect(name.hasPrefix("attendant") && !name.contains("flock-cache"), "\(name)")
        }
        kill(counter.wrapper.id, SIGTERM)
        #expect(counter.finish() == ["15", "12"])
    }

    private func attendant(of counter: SignalCounter) -> pid_t? {
        let wrapper = counter.wrapper.id
        let children = contents(of: "/proc/\(wrapper)/task/\(wrapper)/children") ?? []
        return String(decoding: children, as: UTF8.self).split(separator: " ")
            .compactMap { pid_t($0) }.first { $0 != counter.command }
    }

    @Test(arguments: verbs) func withoutItsAttendantASignalReachesCommandOnce(verb: String) throws {
        let counter = try SignalCounter(stage, verb)
        let attendant = try #require(self.attendant(of: counter))
        #expect(kill(attendant, SIGKILL) == 0)
        #expect(waitUntil { hasEnded(attendant) })
        kill(-counter.wrapper.id, SIGTERM)
        #expect(counter.finish() == ["15", "12"])
        #expect(counter.wrapper.wait() == .exit(7))
    }

    // KILL for the whole group, as timeout -k sends it.
    @Test(arguments: verbs) func killedWithItsGroupItTakesTheChildrenWithIt(verb: String) throws {
        let counter = try SignalCounter(stage, verb)
        kill(-counter.wrapper.id, SIGKILL)
        #expect(counter.wrapper.wait() == .signal(SIGKILL))
        #expect(waitUntil { hasEnded(counter.command) && hasEnded(counter.child) })
    }

    // What a COMMAND leaves behind that has ended by itself goes on.
    @Test(arguments: verbs) func whatCommandLeavesBehindIsNotKilled(verb: String) throws {
        let holder = Child(
            "setsid",
            [
                "bash", "-c",
                "exec flock-cache \(verb) sh -c 'sleep 600 >/dev/null 2>&1 & echo $! >$WORK/left'",
            ],
            environment: stage.variables)
        #expect(holder.finish().ending == .exit(0))
        let left = try #require(number(in: "left"))
        #expect(!hasEnded(left))
        kill(left, SIGKILL)
    }

    // setsid(1) forks where it is a group's leader, and its parent would end at once, and the lock with it.
    @Test func commandIsNoLeaderOfItsGroup() throws {
        let holder = Child(
            "setsid",
            ["flock-cache", "lock", "k", "--", "setsid", "sh", "-c", "echo $$ $PPID; exec cat"],
            environment: stage.variables)
        let numbers = try #require(holder.line()).split(separator: " ").compactMap { pid_t($0) }
        #expect(numbers.count == 2 && numbers[1] == holder.id, "\(numbers) \(holder.id)")
        #expect(!stage.isFree("k"))
        // It has left the group, and gets signals all the same.
        holder.kill(SIGTERM)
        #expect(holder.finish().ending == .signal(SIGTERM))
        #expect(stage.isFree("k"))
    }

    // MARK: Stopping

    @Test func stopAndContinueReachCommand() throws {
        let holder = stage.start(
            """
            exec setsid bash -c 'set -m; flock-cache lock k -- \
                sh -c "echo \\$\\$ >$WORK/pid; echo begun; exec sleep 600" & echo $!; read end'
            """)
        // bash's `wait` would return when the job stops.
        let lines = [holder.line(), holder.line()]
        #expect(lines.contains("begun"))
        let wrapper = try #require(lines.compactMap { $0.flatMap { pid_t($0) } }.first)
        let command = try #require(number(in: "pid"))
        for _ in 0..<3 {
            kill(wrapper, SIGTSTP)
            #expect(waitUntil { isIn("T", wrapper) && isIn("T", command) })
            kill(-wrapper, SIGCONT)
            #expect(waitUntil { isIn("S", wrapper) && isIn("S", command) })
        }
        kill(wrapper, SIGTERM)
        #expect(waitUntil { hasEnded(command) && hasEnded(wrapper) })
        #expect(stage.isFree("k"))
    }

    // The kernel stops no process of an orphaned group so, and COMMAND must not stay stopped either.
    @Test func whatDoesNotStopTheWrapperDoesNotStopCommand() throws {
        let counter = try SignalCounter(stage, "lock k --")
        counter.wrapper.kill(SIGTSTP)
        counter.wrapper.kill(SIGTERM)
        #expect(counter.finish() == ["15", "12"])
        #expect(counter.wrapper.wait() == .exit(7))
    }

    // MARK: A signal that cannot be sent

    @Test(
        .enabled(
            if: canBeNobody && userChanger != nil, "needs root, setpriv and a C compiler"),
        arguments: verbs)
    func aSignalThatIsRefusedIsToldAtOnce(verb: String) throws {
        let shared = TemporaryDirectory()
        chmod(shared.path, 0o755)
        chown(shared.path, 65534, 65534)
        let helper = shared("changer")
        #expect(run("cp", [try #require(userChanger), helper]).code == 0)
        chown(helper, 0, 0)
        chmod(helper, 0o4755)
        var variables = stage.variables
        variables["FLOCK_CACHE_DIR"] = shared("store")
        let line = "exec flock-cache \(verb) \(helper) sh -c 'echo $$ >&2; exec sleep 600' 2>&1"
        let wrapper = Child("setpriv", nobody + ["bash", "-c", line], environment: variables)
        let command = try #require(wrapper.line().flatMap { pid_t($0) })
        wrapper.kill(SIGTERM)
        let told = wrapper.line() ?? ""
        #expect(told.contains("cannot send TERM to COMMAND, pid \(command)"), "\(told)")
        #expect(!hasEnded(command))
        kill(command, SIGKILL)
        #expect(wrapper.wait() == .signal(SIGKILL))
    }

    // MARK: Helpers

    private func number(in file: String) -> pid_t? {
        let path = stage.directory(file)
        _ = waitUntil { contents(of: path)?.last == 10 }
        return pid_t(String(decoding: contents(of: path)?.dropLast() ?? [], as: UTF8.self))
    }
}

private func isIn(_ state: Character, _ process: pid_t) -> Bool {
    String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self)
        .contains(") \(state) ")
}

/// A program that becomes root, where it may, and executes another.
private let userChanger = compile(
    """
    #include <unistd.h>
    int main(int count, char **words) { (void)count; if (setuid(0) != 0) return 9; execvp(words[1], words + 1); return 1; }
    """, as: "user-changer")
