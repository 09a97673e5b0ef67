import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `lock --reentrant`: keys that an ancestor holds are not taken again.
@Suite(.ownThreads) struct ReentrantTests {
    private let stage = Stage()

    private func nested(_ outer: String, _ inner: String) -> Outcome {
        stage.script("flock-cache lock \(outer) -- sh -c 'flock-cache lock --reentrant \(inner)'")
    }

    @Test func whatIsHeldIsNotTakenAgain() {
        let lines: [(outer: String, inner: String)] = [
            ("k", "k -- echo ran"), ("k", "-s k -- echo ran"), ("-s k", "-s k -- echo ran"),
            ("k", "-n k -- echo ran"), ("a k", "k a -- echo ran"), ("a k", "k z -- echo ran"),
            ("--slots 3 k", "--slots 3 k -- echo ran"), ("k", "--slots 2 k -- echo ran"),
            ("k", "k -- flock-cache lock --reentrant k -- echo ran"), ("k", "-F k -- echo ran"),
            ("-F k", "k -- echo ran"), ("k", "k -- flock-cache lock z -- echo ran"),
        ]
        for (outer, inner) in lines {
            let outcome = nested(outer, inner)
            #expect(outcome.code == 0 && outcome.text == "ran\n", "\(outer), \(inner): \(outcome)")
            #expect(stage.isFree("k") && stage.isFree("z"))
        }
        // It is held throughout, and nobody else gets in.
        let busy = nested("k", "k -- env -u FLOCK_CACHE_HELD flock-cache lock -n k -- echo never")
        #expect(busy.code == 75 && busy.text.isEmpty, "\(busy)")
    }

    @Test func whatIsHeldInAWeakerModeIsAsked() {
        for (outer, inner) in [
            ("-s k", "k -- true"), ("--slots 2 k", "k -- true"), ("-s k", "--slots 2 k -- true"),
        ] {
            let outcome = nested(outer, inner)
            #expect(outcome.code == 125 && outcome.error.contains("wait for itself"), "\(outcome)")
        }
        // What is not held is taken in order.
        #expect(nested("k", "a k -- true").code == 125)
        #expect(nested("k", "z -- true").code == 0)
    }

    @Test func withoutAnAncestorItIsALock() {
        let holder = stage.hold("k")
        #expect(stage.lock("--reentrant", "-n", "k", "--", "true").code == 75)
        // What the variable says and is not held does not count.
        var other = stage
        other.variables["FLOCK_CACHE_HELD"] = "lock/0000000000000001/1/2/x/j lock/zz/k"
        #expect(other.lock("--reentrant", "j", "--", "true").code == 0)
        #expect(other.lock("--reentrant", "-n", "k", "--", "true").code == 75)
        #expect(holder.outcome().code == 0)
    }

    @Test func commandSeesTheKeyAndTheSlot() {
        let outcome = nested(
            "--slots 3 k", "--slots 3 k -- sh -c \"echo \\$FLOCK_CACHE_KEY \\$FLOCK_CACHE_SLOT\"")
        #expect(outcome.text == "k 0\n", "\(outcome)")
        let both = nested("b", "c b -- printenv FLOCK_CACHE_KEY")
        #expect(both.text == "b\n", "\(both)")
    }

    // The one that held the lock did not wait: what ran on had no lock any more, and is told.
    @Test func anAncestorThatReleasesTooEarlyIsTold() throws {
        let outcome = stage.script(
            """
            flock-cache lock k -- sh -c '
                flock-cache lock --reentrant k -- sh -c "echo begun >$WORK/begun; until [ -e $WORK/go ]; do sleep 0.01; done" \
                    2>$WORK/error &
                echo $! >$WORK/pid; until [ -e $WORK/begun ]; do sleep 0.01; done'
            flock-cache lock -n k -- true || exit 1
            touch $WORK/go; read pid <$WORK/pid
            while [ -e /proc/$pid ]; do sleep 0.01; done; cat $WORK/error
            """)
        #expect(
            outcome.code == 0 && outcome.text.contains("the lock 'k' was released"), "\(outcome)")
    }
}

/// `--die-with-parent`: a waiter gives up, and a COMMAND is terminated, when the parent process ends.
@Suite(.ownThreads) struct DieWithParentTests {
    private let stage = Stage()

    private static let verbs = ["lock %k --", "run %k --", "lease run %k --ttl 1h --"]

    private static func line(_ verb: String) -> String {
        "flock-cache " + verb.replacing("%", with: "--die-with-parent ")
    }

    private func number(in file: String) -> pid_t? {
        let path = stage.directory(file)
        _ = waitUntil { contents(of: path)?.last == 10 }
        return pid_t(String(decoding: contents(of: path)?.dropLast() ?? [], as: UTF8.self))
    }

    /// Starts a parent that starts the line and then waits for nothing but its own end.
    private func startParent(_ line: String, ignoring: Bool = false) -> Child {
        let trap = ignoring ? "trap '' TERM; " : ""
        return stage.start("\(trap)\(line) & echo $! >$WORK/wrapper; trap - TERM; exec sleep 600")
    }

    @Test(arguments: verbs, [false, true]) func aCommandIsTerminated(verb: String, ignoring: Bool)
        throws
    {
        // One that was started with TERM ignored obeys all the same.
        let parent = startParent(
            Self.line(verb)
                + " bash -c 'trap \"exit 3\" TERM; echo $$ >$WORK/command; sleep 600 & wait'",
            ignoring: ignoring)
        let wrapper = try #require(number(in: "wrapper"))
        let command = try #require(number(in: "command"))
        parent.kill(SIGKILL)
        #expect(waitUntil { hasEnded(command) && hasEnded(wrapper) })
        #expect(stage.isFree("k") && stage.run("who", "k").code == 1)
    }

    @Test(arguments: verbs) func aWaiterGivesUp(verb: String) throws {
        let holder = stage.start(
            """
            exec flock-cache lock k -- flock-cache lease run k --ttl 1h -- flock-cache run k -- \
                sh -c 'echo held >&2; exec cat' 2>&1
            """)
        #expect(holder.line() == "held")
        let parent = startParent(Self.line(verb) + " touch $WORK/ran")
        let wrapper = try #require(number(in: "wrapper"))
        #expect(waitUntil { isWaiting(wrapper) })
        parent.kill(SIGKILL)
        #expect(waitUntil { hasEnded(wrapper) })
        holder.closeInput()
        #expect(holder.finish().code == 0)
        #expect(!names(in: stage.directory.path).contains("ran"))
    }

    // The parent ends while flock-cache is being started: at each of its system calls.
    @Test(arguments: verbs) func aParentThatIsGoneAlreadyIsSeen(verb: String) throws {
        #expect(stage.lock("k", "--", "true").code == 0)
        var stops = 0
        for number in 1...400 {
            let key = "k\(number)"
            let line = Self.line(verb).replacing("parent k", with: "parent \(key)")
            let parent = stage.start(
                "FLOCK_CACHE_FAULT=\(number):STOP \(line) sh -c 'echo $$ >$WORK/\(key); exec sleep 600' & echo $!; exec sleep 600"
            )
            let wrapper = try #require(parent.line().flatMap { pid_t($0) })
            #expect(
                waitUntil {
                    isStopped(wrapper) || contents(of: stage.directory(key))?.last == 10
                })
            let hasBegun = !isStopped(wrapper)
            parent.kill(SIGKILL)
            _ = parent.wait()
            kill(wrapper, SIGCONT)
            // Once the parent is gone, it may stop in what it does then.
            #expect(waitUntil { kill(wrapper, SIGCONT) != 0 || hasEnded(wrapper) }, "\(number)")
            if let text = contents(of: stage.directory(key)),
                let command = pid_t(String(decoding: text.dropLast(), as: UTF8.self))
            {
                #expect(waitUntil { hasEnded(command) }, "\(number)")
            }
            if hasBegun { break }
            stops += 1
        }
        #expect(stops > 20 && stops < 400)
    }

    // A COMMAND that does not obey gets KILL.
    @Test func aCommandThatIgnoresItIsKilled() throws {
        let parent = startParent(
            Self.line(Self.verbs[0])
                + " bash -c 'trap \"\" TERM; echo $$ >$WORK/command; while :; do sleep 0.1; done'")
        let command = try #require(number(in: "command"))
        parent.kill(SIGKILL)
        #expect(waitUntil { hasEnded(command) })
    }

    @Test func whatIsExecutedInPlaceEndsToo() throws {
        let parent = startParent(
            "flock-cache lock -F --die-with-parent k -- sh -c 'echo $$ >$WORK/command; exec sleep 600'"
        )
        let command = try #require(number(in: "command"))
        parent.kill(SIGKILL)
        #expect(waitUntil { hasEnded(command) && stage.isFree("k") })
    }

    @Test(arguments: verbs) func aParentThatStaysChangesNothing(verb: String) {
        let outcome = stage.script(
            "\(Self.line(verb)) sh -c 'echo $PPID >/dev/null; exit 3'; echo $?")
        #expect(outcome.text == "3\n", "\(outcome)")
    }
}

private func isStopped(_ process: pid_t) -> Bool {
    String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self).contains(") T ")
}

private func isWaiting(_ process: pid_t) -> Bool {
    let call = String(decoding: contents(of: "/proc/\(process)/wchan") ?? [], as: UTF8.self)
    return call.contains("futex") || call.contains("nanosleep")
}
