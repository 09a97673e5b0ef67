import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// What a COMMAND under `run` finds: as if it had been started directly, and who it works for.
@Suite(.ownThreads) struct RunEnvironmentTests {
    /// What a script prints when it is run directly, and under `run`.
    private func both(
        _ stage: Stage, _ script: String, preparation: String = ":"
    ) -> (direct: Outcome, under: Outcome) {
        write(script.utf8, to: stage.directory("probe"))
        let direct = stage.script("\(preparation); exec sh $WORK/probe")
        let under = stage.script("\(preparation); exec flock-cache run k -- sh $WORK/probe")
        #expect(direct.code == 0 && under.code == 0, "\(direct) \(under)")
        return (direct, under)
    }

    @Test(arguments: [
        ":", "trap '' PIPE", "trap '' HUP INT", "trap '' XFSZ TERM USR1 WINCH",
        "trap '' PIPE XFSZ QUIT",
    ])
    func signalsAreAsTheyWereAtTheStart(preparation: String) {
        let stage = Stage()
        let (direct, under) = both(
            stage, "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status", preparation: preparation)
        #expect(direct.text == under.text && !direct.output.isEmpty, "\(direct) \(under)")
    }

    @Test(arguments: ["000", "022", "077", "027"])
    func theUmaskIsAsItWasAtTheStart(mask: String) {
        let stage = Stage()
        let (direct, under) = both(stage, "umask", preparation: "umask \(mask)")
        #expect(direct.text == under.text && direct.text.hasSuffix(mask + "\n"))
    }

    @Test func noDescriptorOfOursIsInherited() {
        let stage = Stage()
        stage.publish("other", "v")
        let (direct, under) = both(stage, "cd /proc/self/fd && echo *")
        #expect(direct.text == under.text, "\(direct) \(under)")
        // One that the caller has opened for its command is the command's.
        let outcome = stage.script(
            "flock-cache run l -- sh -c 'echo note >&7' 7>$WORK/note && cat $WORK/note")
        #expect(outcome.text == "note\n", "\(outcome)")
    }

    // What a process of the tests finds open is neither the runner's nor that of a test beside it.
    @Test func whatOtherTestsHaveOpenIsNotInherited() throws {
        let stage = Stage()
        // Far from those that a shell opens itself.
        let number = fcntl(0, F_DUPFD, 200)
        try #require(number >= 200)
        defer { close(number) }
        let outcome = stage.script("cd /proc/self/fd && echo *")
        let descriptors = outcome.text.split(whereSeparator: \.isWhitespace)
        #expect(descriptors.contains("2") && !descriptors.contains("\(number)"), "\(outcome)")
    }

    // The group is the caller's at a terminal only; see `SignalOnceTests` and `LockTerminalTests`.
    @Test func theSessionStaysThatOfTheCaller() {
        let stage = Stage()
        let (direct, under) = both(stage, "cut -d ' ' -f 6 /proc/$$/stat", preparation: "set +m")
        #expect(direct.text == under.text, "\(direct) \(under)")
    }

    // A caller that ignores the end of its children, as some servers do, hands that on.
    @Test(.enabled(if: ignoresChildren, "needs an env(1) that can ignore signals"))
    func theCodeComesThroughWhereTheEndOfChildrenIsIgnored() {
        let stage = Stage()
        let line = "exec env --ignore-signal=CHLD flock-cache run k --"
        #expect(stage.script("\(line) sh -c 'exit 3'").code == 3)
        let mask = "grep SigIgn /proc/self/status"
        let direct = stage.script("exec env --ignore-signal=CHLD \(mask)")
        let under = stage.script("\(line) \(mask)")
        #expect(under.code == 0 && under.text == direct.text, "\(under) \(direct)")
    }

    @Test func theEnvironmentNamesStoreKeyAndGeneration() throws {
        let stage = Stage()
        let outcome = stage.script(
            """
            export FLOCK_CACHE_KEY=other FLOCK_CACHE_GENERATION=1 FLOCK_CACHE_OWNER=5
            export FLOCK_CACHE_HELD=held OTHER=kept
            cd $WORK && flock-cache --store store/../store run $'k /\\xff' -- sh -c 'cd /; env -0' |
                tr '\\0' '\\n' | grep -aE '^(FLOCK|OTHER)' | sort
            """)
        let key = Array("FLOCK_CACHE_KEY=k /".utf8) + [0xff]
        let lines = outcome.output.split(separator: 10).map(Array.init)
        let text = lines.map { String(decoding: $0, as: UTF8.self) }
        let generation = try #require(text.first { $0.hasPrefix("FLOCK_CACHE_GENERATION=") })
        #expect(try #require(UInt64(generation.dropFirst(23))) > 1 << 50, "\(outcome)")
        #expect(lines.contains(key), "\(outcome)")
        let directory = "FLOCK_CACHE_DIR=\(stage.directory.path)/store/../store"
        #expect(text.contains(directory), "\(outcome)")
        #expect(text.contains("FLOCK_CACHE_OWNER=5") && text.contains("OTHER=kept"), "\(outcome)")
        #expect(text.contains { $0.hasPrefix("FLOCK_CACHE_HELD=held claim/") }, "\(outcome)")
        #expect(lines.count == 6, "\(outcome)")
        let listed = stage.run("list").text.split(separator: "\t")
        #expect(listed[1] == "k%20%2F%FF" && "FLOCK_CACHE_GENERATION=\(listed[2])" == generation)
    }

    // What COMMAND itself asks the store for is in the same store.
    @Test func aCommandMayUseTheStore() {
        let stage = Stage()
        let outcome = stage.script(
            """
            flock-cache run outer -- sh -c '
                cd /; flock-cache run inner -- echo in; flock-cache run inner -- false; echo out'
            """)
        #expect(outcome.code == 0 && outcome.text == "in\nin\nout\n", "\(outcome)")
        #expect(stage.run("get", "inner").text == "in\n")
    }
}

private let ignoresChildren = run("env", ["--ignore-signal=CHLD", "true"]).code == 0
