import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `finalize` of what is READY, by a generation that is not current, and of a file that cannot be read.
@Suite(.ownThreads) struct CommandFinalizeAgainTests {
    @Test(arguments: [1, 65_536, 65_537, 300_000])
    func anotherValueOfTheSameClaimIsSaidNotToBeTaken(size: Int) throws {
        let stage = Stage()
        let generation = try #require(stage.run("claim", "k").generation)
        let value = String(repeating: "v", count: size)
        func finalize(_ options: [String], _ value: String) -> Outcome {
            TestSupport.run(
                builtProducts + "/flock-cache",
                ["finalize", "--generation", "\(generation)", "k", "--file", "-"] + options,
                environment: stage.variables, input: value)
        }
        #expect(finalize([], value).error == "")
        #expect(finalize([], value).error == "")
        for other in [value + "w", String(value.dropLast()), String(value.dropLast()) + "w"] {
            let outcome = finalize([], other)
            #expect(outcome.code == 0, "\(outcome)")
            #expect(
                outcome.error.contains("'k' is ready already, with another value"), "\(outcome)")
            #expect(outcome.error.contains("\(generation)"), "\(outcome)")
            #expect(finalize(["-q"], other).error == "")
            let object = finalize(["--json"], other)
            #expect(object.text.contains(#""state":"ready""#), "\(object)")
            #expect(object.error.hasPrefix(#"{"message":"#), "\(object)")
        }
        // The helper ends what it passes with a newline.
        #expect(stage.run("get", "k").text == value + "\n")
        #expect(stage.entryFiles.count == 1)
    }

    @Test func aValueThatCommandHasPublishedItselfStaysAndThatIsSaid() {
        let stage = Stage()
        let outcome = stage.script(
            """
            flock-cache run k -- \
                sh -c 'flock-cache finalize --generation $FLOCK_CACHE_GENERATION k own; echo other'
            """)
        #expect(outcome.code == 0 && outcome.text == "other\n", "\(outcome)")
        #expect(outcome.error.contains("'k' is ready already, with another value"), "\(outcome)")
        #expect(stage.run("get", "k").text == "own")
    }

    @Test func aGenerationThatIsNotCurrentIsToldWhichIsAndWhose() throws {
        let stage = Stage()
        let first = try #require(stage.run("claim", "k").generation)
        #expect(stage.run("abandon", "k").code == 0)
        let absent = stage.run("finalize", "--generation", "\(first)", "k", "v")
        #expect(absent.code == 76, "\(absent)")
        #expect(absent.error.contains("neither a claim nor a value"), "\(absent)")
        #expect(absent.error.contains("generation \(first)"), "\(absent)")
        let second = try #require(stage.run("claim", "k").generation)
        for verb in [["finalize", "k", "v"], ["abandon", "k"]] {
            let outcome = stage.script(
                "flock-cache \(verb.joined(separator: " ")) --generation \(first)")
            #expect(outcome.code == 76, "\(outcome)")
            #expect(outcome.error.contains("generation \(second), not \(first)"), "\(outcome)")
            #expect(outcome.error.contains("claimed since by pid "), "\(outcome)")
        }
        #expect(stage.run("finalize", "k", "v").code == 0)
        let ready = stage.run("finalize", "--generation", "\(first)", "k", "v")
        #expect(ready.code == 76, "\(ready)")
        #expect(ready.error.contains("generation \(second), not \(first)"), "\(ready)")
        #expect(ready.error.contains("published its value"), "\(ready)")
    }

    @Test func aLeaseThatIsAnothersIsToldWithBothGenerations() throws {
        let stage = Stage()
        let first = try #require(stage.run("lease", "acquire", "l", "--ttl", "1h").generation)
        stage.run("lease", "release", "l", "--generation", "\(first)")
        let second = try #require(stage.run("lease", "acquire", "l", "--ttl", "1h").generation)
        for verb in ["renew", "release"] {
            let outcome = stage.run("lease", verb, "l", "--generation", "\(first)")
            #expect(outcome.code == 76, "\(outcome)")
            #expect(outcome.error.contains("generation \(second), not \(first)"), "\(outcome)")
        }
    }

    @Test func aFileThatCannotBeReadIsNamed() throws {
        let stage = Stage()
        stage.run("claim", "k")
        let cases = [
            ("/nowhere/value", "/nowhere/value: No such file"),
            (stage.directory.path, "\(stage.directory.path): Is a directory"),
            ("/proc/self/mem", "/proc/self/mem: "),
        ]
        for (path, message) in cases {
            let outcome = stage.run("finalize", "k", "--file", path)
            #expect(outcome.code == 74, "\(outcome)")
            #expect(outcome.error.contains(message), "\(outcome)")
        }
        let closed = stage.script("flock-cache finalize k --file - <&-")
        #expect(closed.code == 74 && closed.error.contains("standard input: "), "\(closed)")
    }

    @Test func aFIFOIsReadWhenItHasAWriter() throws {
        let stage = Stage()
        let generation = try #require(stage.run("claim", "k").generation)
        #expect(mkfifo(stage.directory("fifo"), 0o600) == 0)
        let finalize = stage.start(
            "exec flock-cache finalize --generation \(generation) k --file $WORK/fifo")
        #expect(waitUntil { sleeps(finalize.id) })
        #expect(stage.run("get", "k").code == 75)
        // The writer writes late, and twice.
        let writer = stage.start("exec >$WORK/fifo; read go; echo one; read go; echo two")
        for _ in 0..<2 {
            #expect(waitUntil { sleeps(finalize.id) })
            writer.tell("go")
        }
        #expect(finalize.outcome().code == 0)
        #expect(stage.run("get", "k").text == "one\ntwo\n")
    }

    @Test(.enabled(if: isInstalled("python3")))
    func aFIFOWithoutAWriterIsNamedOnATerminal() throws {
        let stage = Stage()
        let generation = try #require(stage.run("claim", "k").generation)
        #expect(mkfifo(stage.directory("fifo"), 0o600) == 0)
        let outcome = TestSupport.run(
            "python3",
            [
                "-c",
                #"""
                import os, pty, signal, sys
                signal.alarm(120)
                fifo = os.environ["WORK"] + "/fifo"
                process, terminal = pty.fork()
                if process == 0:
                    os.execvp(sys.argv[1], sys.argv[1:] + [fifo])
                told = b""
                while b"FIFO" not in told:
                    told += os.read(terminal, 4096)
                open(fifo, "w").write("value")
                print(told.decode().strip())
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
                """#,
                "flock-cache", "finalize", "--generation", "\(generation)", "k", "--file",
            ], environment: stage.variables)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(
            outcome.text.contains("waiting for a writer of \(stage.directory("fifo"))"),
            "\(outcome)")
        #expect(stage.run("get", "k").text == "value")
    }

    @Test(.enabled(if: canBeNobody))
    func aFileThatIsNotForThisUserIsNamed() {
        let stage = Stage()
        #expect(chown(stage.directory.path, 65534, 65534) == 0)
        write("secret".utf8, to: stage.directory("secret"))
        chmod(stage.directory("secret"), 0o600)
        let outcome = stage.script(
            """
            run() { setpriv \(nobody.joined(separator: " ")) flock-cache "$@"; }
            run claim k >/dev/null; run finalize k --file $WORK/secret
            """)
        #expect(outcome.code == 74, "\(outcome)")
        #expect(
            outcome.error.contains("\(stage.directory("secret")): Permission denied"), "\(outcome)")
    }
}
