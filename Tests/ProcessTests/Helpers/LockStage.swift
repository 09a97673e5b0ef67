import Glibc
import Testing
import TestSupport

extension Stage {
    /// A stage for signals: in a debug build the Swift runtime would take QUIT as a request for a backtrace.
    static var forSignals: Stage {
        var stage = Stage()
        stage.variables["SWIFT_BACKTRACE"] = "enable=no"
        return stage
    }

    /// Runs `flock-cache lock` to its end.
    @discardableResult
    func lock(_ arguments: String...) -> Outcome {
        TestSupport.run(
            builtProducts + "/flock-cache", ["lock"] + arguments, environment: variables)
    }

    /// Starts `flock-cache lock`, whose end is for the test to bring about.
    func startLock(_ arguments: String...) -> Child {
        Child(builtProducts + "/flock-cache", ["lock"] + arguments, environment: variables)
    }

    /// Holds locks until its input ends; returns when it holds them.
    func hold(_ arguments: String...) -> Child {
        let child = Child(
            builtProducts + "/flock-cache",
            ["lock"] + arguments + ["--", "sh", "-c", "echo held; exec cat"],
            environment: variables)
        let line = child.line()
        #expect(line == "held", "\(arguments)")
        return child
    }

    /// Whether a key's lock can be had now.
    func isFree(_ key: String) -> Bool { run("lock", "-n", key, "--", "true").code == 0 }

    /// The lines of `who`, split at the tabs.
    func who(_ key: String...) -> [[String]] {
        let outcome = TestSupport.run(
            builtProducts + "/flock-cache", ["who"] + key, environment: variables)
        return outcome.text.split(separator: "\n").map { line in
            line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
    }

    /// How many wait for a key's lock.
    func waiters(of key: String) -> Int {
        who(key).compactMap { $0.count > 6 ? Int($0[6]) : nil }.max() ?? 0
    }

    /// Runs a Python program with what tests of locks need: `pty`, and the lock of a key as the format's
    /// description has it.
    func python(_ program: String) -> Outcome {
        TestSupport.run("python3", ["-c", Self.prelude + program], environment: variables)
    }

    /// Starts one.
    func startPython(_ program: String) -> Child {
        Child("python3", ["-c", Self.prelude + program], environment: variables)
    }

    private static let prelude = """
        import fcntl, os, pty, shutil, signal, struct, subprocess, sys, time
        log = os.environ["WORK"] + "/log"
        def place(key):
            value = 0xcbf29ce484222325
            for byte in key: value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
            return "%s/locks/%02x" % (os.environ["FLOCK_CACHE_DIR"], value & 63), value >> 6
        def take(key, kind=fcntl.F_WRLCK, slot=0):
            path, byte = place(key)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.fcntl(file, 37, struct.pack("hhqqi4x", kind, 0, byte + slot, 1, 0))
            return file
        def begin(*words):
            pid, terminal = pty.fork()
            if pid == 0:
                output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.execvp(words[0], words)
            return pid, terminal
        def lines():
            if not os.path.exists(log): return []
            with open(log) as file: return file.read().split("\\n")[:-1]
        def until(condition):
            end = time.monotonic() + 30
            while not condition():
                if time.monotonic() > end: sys.exit("in vain: " + repr(lines()))
                time.sleep(0.001)
        # Of two of one number that it has not read yet a process is told one.
        def await_read(pid, number):
            def pending():
                with open("/proc/%d/status" % pid) as file:
                    words = dict(line.split(":\\t", 1) for line in file)
                return int(words["ShdPnd"], 16) >> (number - 1) & 1
            until(lambda: not pending())
        def await_lines(count): until(lambda: len(lines()) >= count)
        def code(pid):
            until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG))
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        """
}

/// Whether Python is there.
let hasPython = isInstalled("python3")
