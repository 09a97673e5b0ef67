import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `lock` at a terminal and in pipelines: COMMAND is to find what it would find without it.
@Suite(
    .ownThreads(minutes: 5),
    .enabled(if: hasPython && signalProgram != nil, "needs python3 and a C compiler"))
struct LockTerminalTests {
    private let stage: Stage = {
        var stage = Stage.forSignals
        stage.variables["COMMAND"] = signalProgram
        return stage
    }()

    private func lines(_ program: String) -> [String] {
        let outcome = stage.python(program)
        #expect(outcome.code == 0, "\(outcome)")
        return outcome.text.split(separator: "\n").map(String.init)
    }

    @Test func keysReachTheCommandOnce() {
        let lines = lines(
            """
            pid, terminal = begin("flock-cache", "lock", "k", "--", os.environ["COMMAND"])
            await_lines(1)
            os.write(terminal, b"\\x03"); await_lines(2)
            os.write(terminal, b"\\x1c"); await_lines(3)
            os.kill(pid, signal.SIGUSR2); await_lines(4)
            os.kill(pid, signal.SIGUSR2); await_lines(5)
            print(code(pid))
            print("\\n".join(lines()[1:]))
            """)
        #expect(lines == ["7", "2", "3", "12", "12"])
    }

    // COMMAND is sought in so many directories that this process can be stopped before it goes on beside it.
    @Test func aKeyThatIsPressedBeforeTheWrapperGoesOnReachesTheCommandOnce() {
        let lines = lines(
            """
            words = [shutil.which("flock-cache"), "lock", "k", "--", "signal-program"]
            os.environ["PATH"] = "/-:" * 40000 + os.path.dirname(os.environ["COMMAND"])
            pid, terminal = begin(*words)
            def children():
                with open("/proc/%d/task/%d/children" % (pid, pid)) as file: return file.read().split()
            until(lambda: len(children()) == 2)
            os.kill(pid, signal.SIGSTOP)
            await_lines(1)
            os.write(terminal, b"\\x03"); await_lines(2)
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGUSR2); await_lines(3)
            os.kill(pid, signal.SIGUSR2); await_lines(4)
            print(code(pid))
            print("\\n".join(lines()[1:]))
            """)
        #expect(lines == ["7", "2", "12", "12"])
    }

    @Test func keysReachACommandThatHasLeftTheGroup() {
        let lines = lines(
            """
            pid, terminal = begin("flock-cache", "lock", "k", "--", os.environ["COMMAND"], "apart")
            await_lines(1)
            os.write(terminal, b"\\x03"); await_lines(2)
            os.kill(pid, signal.SIGUSR2); await_lines(3)
            os.kill(pid, signal.SIGUSR2); await_lines(4)
            print(code(pid))
            print("\\n".join(lines()[1:]))
            """)
        #expect(lines == ["7", "2", "12", "12"])
    }

    // Under a shell with jobs it is a group of its own, in the foreground.
    @Test func theCommandReadsFromTheTerminal() {
        let lines = lines(
            """
            pid, terminal = begin(
                "bash", "--norc", "-ic",
                "flock-cache lock k -- sh -c 'echo begun; read line; echo got $line'; echo $?")
            until(lambda: "begun" in lines())
            os.write(terminal, b"word\\n")
            code(pid)
            print("\\n".join(line for line in lines() if not line.startswith("bash")))
            """)
        #expect(lines == ["begun", "got word", "0"])
    }

    @Test func aStoppedJobGoesOn() {
        let lines = lines(
            """
            pid, terminal = begin(
                "bash", "--norc", "-imc",
                "flock-cache lock k -- sh -c 'echo begun; read line; echo got $line'; echo stopped $?; fg; echo $?")
            until(lambda: "begun" in lines())
            os.write(terminal, b"\\x1a")
            until(lambda: any(line.startswith("stopped") for line in lines()))
            os.write(terminal, b"word\\n")
            code(pid)
            print("\\n".join(line for line in lines() if line.startswith(("got", "0"))))
            """)
        #expect(lines == ["got word", "0"])
    }

    // A shell ends its loop only where it sees that its child died of the key.
    @Test(arguments: ["lock k --", "run r$i --", "lease run l --ttl 1h --"])
    func aKeyEndsTheLoopOfAScript(verb: String) {
        let lines = lines(
            """
            pid, terminal = begin(
                "bash", "-c", "for i in 1 2 3; do flock-cache \(verb) sh -c 'echo begun >&2; exec sleep 60'; echo on; done")
            await_lines(1)
            os.write(terminal, b"\\x03")
            print(code(pid))
            print("\\n".join(lines()))
            """)
        #expect(lines == ["-2", "begun"])
    }

    // At a terminal COMMAND is in the group: what is sent to that it has already.
    @Test(arguments: ["lock k --", "run k --", "lease run k --ttl 1h --"])
    func whatIsSentToTheGroupReachesTheCommandOnce(verb: String) {
        let lines = lines(
            """
            words = "flock-cache \(verb)".split() + ["sh", "-c", "exec $COMMAND >&2"]
            for under in [[], ["timeout", "60"], ["timeout", "--foreground", "60"]]:
                if os.path.exists(log): os.unlink(log)
                pid, terminal = begin(*under, *words)
                await_lines(1)
                command = int(lines()[0].split()[1])
                if under: os.kill(pid, signal.SIGTERM)
                else: os.killpg(pid, signal.SIGTERM)
                await_lines(2)
                os.kill(command, signal.SIGUSR1); await_lines(3)
                if not under:
                    # Of another sender: two of one that come together are one.
                    await_read(pid, signal.SIGTERM)
                    subprocess.run(["kill", "-TERM", str(pid)]); await_lines(4)
                os.kill(command, signal.SIGUSR2); await_lines(4 + (not under))
                os.kill(command, signal.SIGUSR2)
                code(pid)
                print(" ".join(lines()[1:]))
            """)
        #expect(lines == ["15 10 15 12 12", "15 10 12 12", "15 10 12 12"])
    }

    // A job of a shell with a prompt, first in the background: it stops where it wants to read, and goes on in front.
    @Test(arguments: ["", "sleep 0.3; "])
    func aJobInTheBackgroundReadsWhenItIsInFront(delay: String) {
        let lines = lines(
            """
            pid, terminal = begin("bash", "--norc", "-i")
            def say(text): os.write(terminal, text.encode() + b"\\n")
            say("flock-cache lock k -- sh -c 'echo begun $$; \(delay)read line; echo got $line' &")
            begun = lambda: [line for line in lines() if "begun " in line and "$" not in line]
            until(begun)
            command = int(begun()[0].split()[-1])
            # Where it wanted to read a moment before it was in front, it stops there, and is fetched again.
            while True:
                before = len(lines())
                say("fg")
                until(lambda: any("flock-cache lock k" in line for line in lines()[before:]))
                def state():
                    fields = open("/proc/%d/stat" % command).read().split()
                    return "front" if fields[2] == "S" and fields[4] == fields[7] else fields[2]
                until(lambda: state() in ["front", "T"])
                if state() == "front": break
                until(lambda: any("Stopped" in line for line in lines()[before:]))
            say("word")
            until(lambda: any(line.endswith("got word") for line in lines()))
            say("exit")
            print(code(pid))
            """)
        #expect(lines == ["0"])
    }

    // What the terminal sends before COMMAND is there, only this process gets. Stopped at each of its calls.
    @Test(arguments: [["lock", "k"], ["run", "k"]])
    func aKeyThatIsPressedBeforeTheCommandBeginsIsNotLost(verb: [String]) {
        let words = (["flock-cache"] + verb).map { "\"\($0)\"" }.joined(separator: ", ")
        let lines = lines(
            """
            subprocess.run([\(words), "--", "true"])
            if "\(verb[0])" == "run": subprocess.run(["flock-cache", "remove", "k"])
            for number in range(1, 300):
                started = os.environ["WORK"] + "/started"
                if os.path.exists(started): os.unlink(started)
                os.environ["FLOCK_CACHE_FAULT"] = "%d:STOP" % number
                pid, terminal = begin(\(words), "--", "sh", "-c", "touch %s; exec cat" % started)
                # How many calls there are differs from run to run; the N-th may come after COMMAND began.
                changed = 0
                while not changed and not os.path.exists(started):
                    changed, state = os.waitpid(pid, os.WUNTRACED | os.WNOHANG)
                    os.sched_yield()
                if changed and os.WIFSTOPPED(state) and not os.path.exists(started):
                    os.write(terminal, b"\\x03")
                    pending = lambda: open("/proc/%d/status" % pid).read().split("ShdPnd:\\t")[1][:16]
                    until(lambda: int(pending(), 16) & 2)
                    os.kill(pid, signal.SIGCONT)
                    end = time.monotonic() + 5
                    status = 0
                    while time.monotonic() < end and not status:
                        done, status = os.waitpid(pid, os.WNOHANG)
                        if not done: status = 0
                        os.sched_yield()
                    if not status:
                        print("lost at", number)
                        os.kill(pid, 9); os.waitpid(pid, 0); break
                    # COMMAND has had it.
                    if os.WIFEXITED(status): break
                else:
                    os.kill(pid, 9); os.waitpid(pid, 0); break
                os.close(terminal)
            """)
        #expect(lines.isEmpty)
    }

    @Test func aWaitSaysWhatItWaitsFor() throws {
        let holder = stage.hold("k")
        let lines = lines(
            """
            pid, terminal = pty.fork()
            if pid == 0: os.execvp("flock-cache", ["flock-cache", "lock", "-w", "30", "j", "k", "--", "true"])
            print(os.read(terminal, 4096).decode())
            os.write(terminal, b"\\x03")
            print(code(pid))
            """)
        let words = try #require(lines.first)
        #expect(
            words.contains("waiting for lock 'k', held for")
                && words.contains("pid \(holder.id) (sh); giving up in"),
            "\(lines)")
        #expect(lines.last == "-2", "\(lines)")
        #expect(holder.outcome().code == 0)
    }

    // MARK: Pipelines

    @Test func inputAndOutputAreTheCommands() {
        let outcome = stage.script(
            "printf 'a\\nb\\n' | flock-cache lock k -- cat | head -1; echo ${PIPESTATUS[*]}")
        #expect(outcome.text == "a\n0 0 0\n", "\(outcome)")
        let endless = stage.script("flock-cache lock k -- yes | head -1; echo ${PIPESTATUS[*]}")
        #expect(endless.text == "y\n141 0\n", "\(endless)")
        #expect(stage.isFree("k"))
        let input = stage.run("lock", "k", "--", "cat", input: "line")
        #expect(input.text == "line\n", "\(input)")
    }

    @Test(arguments: 0..<8)
    func descriptorsThatAreClosedNeverBecomeFilesOfTheStore(closed: Int) {
        let redirections = [" <&-", " >&-", " 2>&-"].enumerated()
            .map { closed & 1 << $0 != 0 ? $1 : "" }.joined()
        for option in ["", "-F"] {
            let outcome = stage.script(
                """
                flock-cache lock \(option) k -- sh -c '
                    ls -l /proc/self/fd >$WORK/open 2>/dev/null </dev/null
                    echo out; echo error >&2; exit 3'\(redirections)
                """)
            #expect(outcome.code == 3, "\(outcome)")
            let open = String(decoding: contents(of: stage.directory("open")) ?? [], as: UTF8.self)
            // Beyond the lock itself, and its directory, where they are to be kept.
            let ours = open.split(separator: "\n").filter {
                $0.contains(stage.store)
                    && !(option == "-F" && $0.contains(stage.store + "/locks"))
            }
            #expect(ours.isEmpty, "\(open)")
        }
        let marker = String(
            decoding: contents(of: stage.store + "/flock-cache") ?? [], as: UTF8.self)
        #expect(!marker.contains("out"))
    }

    @Test func whoCannotBeToldStillEndsWithTheCode() {
        let holder = stage.hold("k")
        #expect(stage.script("flock-cache lock -n k -- true 2>/dev/full").code == 75)
        #expect(stage.script("flock-cache lock -n k -- true 2>&-").code == 75)
        #expect(stage.script("flock-cache lock k >&- 2>&-").code == 125)
        #expect(holder.outcome().code == 0)
    }
}
