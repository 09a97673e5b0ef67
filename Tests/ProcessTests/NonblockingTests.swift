import Testing
import TestSupport

@testable import TestHelpers

/// Standard descriptors on which another process has set O_NONBLOCK, as programs do that share a pipe: nothing
/// is lost, and nothing fails.
@Suite(.ownThreads, .enabled(if: isInstalled("python3")))
struct NonblockingTests {
    /// Runs a Python text with a pipe or a socket pair: what the command waits for is done when it sleeps in the
    /// kernel, or has failed and ended.
    private func bench(_ text: String, _ stage: Stage, _ arguments: String...) -> Outcome {
        let functions = #"""
            import os, socket, subprocess, sys
            def pair(kind):
                if kind == "pipe":
                    return os.pipe()
                a, b = socket.socketpair()
                return a.detach(), b.detach()
            def waits(process):
                while process.poll() is None:
                    try:
                        stat = open("/proc/%d/stat" % process.pid).read()
                    except OSError:
                        continue
                    if stat[stat.rindex(")") + 2] == "S":
                        return
            def drain(descriptor):
                parts = []
                while part := os.read(descriptor, 65536):
                    parts.append(part)
                return b"".join(parts)
            command = sys.argv[2:]
            reading, writing = pair(sys.argv[1])

            """#
        return TestSupport.run(
            "python3", ["-c", functions + text] + arguments, environment: stage.variables)
    }

    /// The command's output is not read before the command waits for room.
    private static let unread = #"""
        if "nonblocking" in os.environ["KIND"]:
            os.set_blocking(writing, False)
        process = subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        waits(process)
        output = drain(reading)
        error = process.stderr.read()
        sys.stdout.buffer.write(output)
        sys.stderr.buffer.write(error)
        sys.exit(process.wait())
        """#

    @Test(arguments: ["pipe", "socket"], ["nonblocking", "as usual"])
    func whatIsPrintedIsNotLost(kind: String, mode: String) {
        var stage = Stage()
        stage.variables["KIND"] = mode
        let value = (1...60_000).map { "\($0)\n" }.joined()
        write(value.utf8, to: stage.directory("value"))
        stage.run("claim", "k")
        #expect(stage.run("finalize", "k", "--file", stage.directory("value")).code == 0)
        let got = bench(Self.unread, stage, kind, "flock-cache", "get", "k")
        #expect(got.code == 0 && got.text == value, "\(got.error) \(got.output.count)")
        for command in ["seq 60000", "sh -c 'seq 60000; exit 3'"] {
            let key = command
            let ran = bench(
                Self.unread, stage, kind, "sh", "-c",
                "exec flock-cache run \"$0\" -- \(command)", key)
            #expect(ran.text == value, "\(ran.error) \(ran.output.count)")
            #expect(ran.code == (command.hasPrefix("sh") ? 3 : 0), "\(ran.error)")
        }
    }

    @Test func aListIsNotLost() {
        var stage = Stage()
        stage.variables["KIND"] = "nonblocking"
        let made = stage.script(
            """
            for i in $(seq 500); do
                k=$(printf '%0180d' $i); flock-cache run $k -- echo v >/dev/null || exit
            done
            """)
        #expect(made.code == 0, "\(made)")
        let listed = bench(Self.unread, stage, "pipe", "flock-cache", "list")
        #expect(listed.code == 0, "\(listed.error)")
        #expect(listed.output.count { $0 == 10 } == 500)
    }

    // The pipe is full before the command says anything.
    @Test func aNoticeIsNotLost() {
        let stage = Stage()
        stage.run("claim", "k")
        let outcome = bench(
            #"""
            os.set_blocking(writing, False)
            try:
                while os.write(writing, b"\n" * 4096): pass
            except BlockingIOError: pass
            process = subprocess.Popen(command, stderr=writing)
            os.close(writing)
            waits(process)
            sys.stdout.buffer.write(drain(reading).strip())
            sys.exit(process.wait())
            """#, stage, "pipe", "flock-cache", "get", "k")
        #expect(outcome.code == 75, "\(outcome)")
        #expect(outcome.text.hasPrefix("flock-cache: 'k' is busy: claimed "), "\(outcome)")
    }

    @Test(arguments: ["pipe", "socket"])
    func anInputThatIsNotThereYetIsWaitedFor(kind: String) {
        let stage = Stage()
        let generation = stage.run("claim", "k").generation ?? 0
        let outcome = bench(
            #"""
            os.set_blocking(reading, False)
            process = subprocess.Popen(command, stdin=reading)
            os.close(reading)
            for part in [b"first ", b"second"]:
                waits(process)
                os.write(writing, part)
            os.close(writing)
            sys.exit(process.wait())
            """#, stage, kind, "flock-cache", "finalize", "k", "--file", "-",
            "--generation", "\(generation)")
        #expect(outcome.code == 0, "\(outcome)")
        #expect(stage.run("get", "k").text == "first second")
    }
}
