import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// How commands that run a COMMAND end, and what they report.
@Suite(.ownThreads) struct OutcomeTests {
    private let stage = Stage.forSignals

    // MARK: Results

    @Test func thatAnotherHasItIsAResult() {
        let holder = stage.start(
            """
            exec flock-cache lock k -- flock-cache lease run k --ttl 1h -- flock-cache run k -- \
                sh -c 'echo held >&2; exec cat' 2>&1
            """)
        #expect(holder.line() == "held")
        let lines: [(line: String, state: String, code: Int32)] = [
            ("lock -n k -- true", "busy", 75), ("lock -w 10ms k -- true", "timed-out", 124),
            ("lock -n -E 0 k -- true", "busy", 0), ("run -n k -- true", "pending", 75),
            ("run -w 10ms k -- true", "timed-out", 124), ("wait -n k", "pending", 75),
            ("wait -w 10ms k", "timed-out", 124), ("lease run -n k --ttl 1h -- true", "busy", 75),
            ("lease run -w 10ms k --ttl 1h -- true", "timed-out", 124),
            ("lease acquire k --ttl 1h", "busy", 75),
            ("lease acquire -w 10ms k --ttl 1h", "timed-out", 124),
            ("claim -w 10ms k", "timed-out", 124),
        ]
        for quiet in ["", "-q "] {
            for (line, state, code) in lines {
                let outcome = stage.script("flock-cache --json \(quiet)\(line)")
                #expect(outcome.code == code && outcome.error.isEmpty, "\(line): \(outcome)")
                #expect(
                    outcome.text.hasPrefix(
                        "{\"state\":\"\(state)\",\"key\":\"k\",\"text\":\"k\",\"holder\":{\"pid\":")
                        && outcome.text.hasSuffix("}}\n"), "\(line): \(outcome)")
            }
        }
        #expect(
            stage.run("--json", "wait", "absent").text
                == "{\"state\":\"absent\",\"key\":\"absent\",\"text\":\"absent\"}\n")
        // A reader that has gone makes nothing of it that it is not.
        #expect(
            stage.script("flock-cache --json lock -n k -- true | true; echo ${PIPESTATUS[0]}").text
                == "75\n")
        holder.closeInput()
        #expect(holder.finish().code == 0)
    }

    @Test func aLossIsAResult() {
        let outcome = stage.script(
            "flock-cache --json lease run k --ttl 1h -- sh -c 'flock-cache lease release k --generation $FLOCK_CACHE_GENERATION; flock-cache lease acquire k --ttl 1h >/dev/null'"
        )
        #expect(outcome.code == 76 && outcome.error.isEmpty, "\(outcome)")
        #expect(
            outcome.text.hasPrefix(
                "{\"state\":\"lost\",\"key\":\"k\",\"text\":\"k\",\"message\":\"lease 'k' was lost"
            ),
            "\(outcome)")
    }

    @Test func helpShowsWhatIsNeeded() {
        let help = stage.run("help", "lease", "run").text
        #expect(help.contains(" --ttl D ") && !help.contains("[--ttl D]"), "\(help)")
        #expect(stage.run("help", "lease", "acquire").text.contains("lease acquire [OPTIONS] NAME"))
    }

    // MARK: The signal that ended COMMAND

    @Test(arguments: ["lock k --", "run k --", "lease run k --ttl 1h --", "--json lock k --"])
    func theSignalThatEndedCommandEndsTheWrapper(verb: String) {
        let line = { (signal: Int32) in
            "flock-cache \(verb) sh -c 'ulimit -c 0; kill -\(signal) $$'"
        }
        for signal in [
            SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGALRM, SIGPIPE, SIGABRT, SIGSEGV,
            34,
        ] {
            let child = stage.start("exec \(line(signal))")
            #expect(child.finish().ending == .signal(signal), "\(signal)")
            #expect(stage.isFree("k"))
        }
        // A code above 128 is a code.
        #expect(
            stage.start("exec flock-cache \(verb) sh -c 'exit 143'").finish().ending == .exit(143))
        // Also where it was started with the signal ignored or blocked; the shell says 128 and it.
        #expect(stage.script("trap '' PIPE; \(line(SIGKILL)); echo $?").text.hasSuffix("137\n"))
        #expect(
            stage.script(
                "trap '' INT; flock-cache \(verb) env --default-signal=INT sh -c 'kill -INT $$'; echo $?"
            ).text.hasSuffix("130\n"))
    }

    @Test(
        .enabled(
            if: writesCoreFiles,
            "needs a core_pattern that is a file's name in the working directory"))
    func itLeavesNoCoreFile() {
        let outcome = stage.script(
            """
            ulimit -c unlimited; mkdir $WORK/here; cd $WORK/here
            flock-cache lock k -- sh -c 'ulimit -c 0; kill -QUIT $$'; echo $?; ls
            """)
        #expect(outcome.text == "131\n", "\(outcome)")
    }
}

private let writesCoreFiles: Bool = {
    let pattern = String(
        decoding: contents(of: "/proc/sys/kernel/core_pattern") ?? [], as: UTF8.self)
    return !pattern.hasPrefix("|") && !pattern.contains("/")
}()
