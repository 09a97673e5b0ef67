import Testing
import TestSupport

@testable import TestHelpers

/// How `run` is called, and the codes it ends with.
@Suite(.ownThreads) struct RunCodeTests {
    @Test(arguments: [
        "run k -- printf %s x", "run k printf %s x",
        "run -- k -- printf %s x", "run k -w 5 -- printf %s x", "run -w5 k printf %s x",
        "run -qw5 -E 3 k -- printf %s x", "-q run --max-age=1h k -- printf %s x",
        "--store=$FLOCK_CACHE_DIR run k -- printf %s x",
        "run k --store $FLOCK_CACHE_DIR printf %s x",
        "run k -- sh -c 'printf %s \"$1\"' -- x", "run k env -u HOME printf %s x",
    ])
    func theManyWaysToCallItMeanTheSame(line: String) {
        let stage = Stage()
        let outcome = stage.script("flock-cache \(line)")
        #expect(outcome.code == 0 && outcome.text == "x", "\(outcome)")
        #expect(stage.run("get", "k").text == "x")
    }

    @Test func everythingFromTheCommandOnIsItsOwn() {
        let stage = Stage()
        let script = "printf '%s.' \"$@\""
        let outcome = stage.run(
            "run", "k", "sh", "-c", script, "-", "-n", "--help", "--", "--store=x", "-q")
        #expect(outcome.text == "-n.--help.--.--store=x.-q.", "\(outcome)")
        // Of two the first is ours.
        #expect(stage.run("run", "l", "--", "--", "x").code == 127)
    }

    @Test func failuresOfTheStoreAreOwnFailures() {
        let stage = Stage()
        write("foreign".utf8, to: stage.directory("file"))
        let foreign = stage.run("run", "--store", stage.directory.path, "k", "--", "true")
        #expect(foreign.code == 125, "\(foreign)")
        #expect(foreign.error.contains("nothing was touched"), "\(foreign)")
        let json = stage.run("--json", "run", "--store", stage.directory.path, "k", "--", "true")
        #expect(json.code == 125 && json.error.contains("\"exit\":125"), "\(json)")
        let long = stage.run("run", String(repeating: "k", count: 201), "--", "true")
        #expect(long.code == 125 && long.error.contains("hash it first"), "\(long)")
    }

    @Test func aCommandThatCannotBeStartedLeavesTheKeyFree() {
        let stage = Stage()
        let missing = stage.run("run", "k", "--", "no-such-program")
        #expect(missing.code == 127 && missing.error.contains("no-such-program"), "\(missing)")
        for program in ["/etc/passwd", "/", stage.directory.path] {
            let outcome = stage.run("run", "k", "--", program)
            #expect(outcome.code == 126 && outcome.error.contains(program), "\(outcome)")
        }
        #expect(stage.run("run", "k", "--", "").code == 127)
        #expect(stage.run("run", "-q", "k", "--", "no-such-program").error == missing.error)
        #expect(stage.entryFiles.isEmpty)
        // env(1) says the same.
        for words in [["no-such-program"], ["/etc/passwd"], ["/"]] {
            let other = TestSupport.run("env", words, environment: stage.variables)
            #expect(
                TestSupport.run(
                    builtProducts + "/flock-cache", ["run", "k", "--"] + words,
                    environment: stage.variables
                ).code == other.code)
        }
    }

    @Test(arguments: [1, 2, 64, 75, 76, 124, 125, 126, 127, 255] as [Int32])
    func theCodeOfTheCommandIsReturned(code: Int32) {
        let stage = Stage()
        #expect(stage.run("run", "-E", "9", "k", "--", "sh", "-c", "exit \(code)").code == code)
        #expect(stage.entryFiles.isEmpty)
    }

    @Test(arguments: [9, 15, 6, 11] as [Int32])
    func aCommandThatDiesByASignalIsTold(signal: Int32) {
        let stage = Stage()
        let line = "ulimit -c 0; echo x; kill -\(signal) $$"
        let outcome = stage.run("run", "k", "--", "sh", "-c", line)
        #expect(outcome.ending == .signal(signal) && outcome.text == "x\n", "\(outcome)")
        #expect(stage.entryFiles.isEmpty)
    }

    // A script without an interpreter line is run by the shell, as the shell itself does it.
    @Test func aScriptWithoutAnInterpreterIsRun() {
        let stage = Stage()
        write("echo \"script $1\"\n".utf8, to: stage.directory("script"))
        #expect(stage.script("chmod +x $WORK/script").code == 0)
        let outcome = stage.run("run", "k", "--", stage.directory("script"), "word")
        #expect(outcome.text == "script word\n", "\(outcome)")
        // More words than any fixed piece of memory holds.
        let many = stage.script("flock-cache run many -- $WORK/script $(seq 20000)")
        #expect(many.text == "script 1\n", "\(many.code)")
    }
}
