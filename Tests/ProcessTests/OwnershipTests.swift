import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// A way in which a script calls the command; each claims `k`.
private let forms: [String] = [
    "flock-cache claim k >/dev/null",
    "id=$(flock-cache claim k)",
    "id=`flock-cache claim k`",
    "id=$(cd /; flock-cache claim k)",
    "id=$(cd /; timeout 5 flock-cache claim k)",
    "timeout 5 flock-cache claim k >/dev/null",
    "timeout 5 nice env X=1 timeout 4 stdbuf -o0 flock-cache claim k >/dev/null",
    "( cd /; flock-cache claim k >/dev/null; true )",
    "( true; ( true; id=$(true; flock-cache claim k); true ); true )",
    "echo x | { flock-cache claim k >/dev/null; true; }",
    "echo k | while read key; do flock-cache claim $key >/dev/null; done",
    "flock-cache claim k | cat >/dev/null",
    "{ flock-cache claim k >/dev/null; true; } & wait",
    "mine() { flock-cache claim k; true; }; id=$(mine)",
    "eval 'id=$(true; eval \"flock-cache claim k\")'",
    "setsid flock-cache claim k >/dev/null; wait",
]

/// Whose claim it is: the script's, however deep in it the command stands.
@Suite(.ownThreads) struct OwnershipTests {
    @Test(arguments: forms, shells)
    func aClaimBelongsToTheScriptOutlivesItsSubshellAndDiesWithIt(form: String, shell: String) {
        let stage = Stage()
        let script = stage.start("\(form)\necho claimed\nread never\nexit 0", in: shell)
        #expect(script.line() == "claimed")
        let loser = stage.run("claim", "k")
        #expect(loser.code == 75, "\(form): \(loser)")
        #expect(loser.error.contains("pid \(script.id) (\(shell))"), "\(form): \(loser)")
        script.closeInput()
        #expect(script.wait() == .exit(0))
        let next = stage.run("claim", "k")
        #expect(next.code == 0, "\(form): \(next)")
        #expect(
            next.error.contains("took over 'k': its owner, pid \(script.id)"),
            "\(form): \(next)")
    }

    // An executed script has its own name and command line; only the program's file tells the shell.
    @Test(arguments: shells)
    func aClaimInAnExecutedScriptBelongsToIt(shell: String) throws {
        let stage = Stage()
        let path = stage.directory("build-everything.sh")
        let text =
            "#!/usr/bin/env \(shell)\nid=$(cd /; timeout 5 flock-cache claim k)\necho claimed\nread never\n"
        write(text.utf8, to: path)
        chmod(path, 0o755)
        let script = Child(path, ["with", "arguments"], environment: stage.variables)
        #expect(script.line() == "claimed")
        let loser = stage.run("claim", "k")
        #expect(loser.error.contains("pid \(script.id) ("), "\(loser)")
        script.kill(SIGKILL)
        _ = script.wait()
        #expect(stage.run("claim", "k").code == 0)
    }

    // The inner script was executed, so it is a program of its own although it is the same shell.
    @Test(arguments: shells)
    func aClaimInAScriptThatAScriptRunsBelongsToTheInnerOne(shell: String) {
        let stage = Stage()
        write("flock-cache claim k >/dev/null\n".utf8, to: stage.directory("inner"))
        let outer = stage.start("\(shell) $WORK/inner; echo done; read never", in: shell)
        #expect(outer.line() == "done")
        #expect(stage.run("claim", "k").code == 0)
    }

    @Test(.enabled(if: isRoot && isInstalled("runuser"), "needs root and runuser"))
    func aClaimBehindRunuserBelongsToTheScript() {
        let stage = Stage()
        let script = stage.start("runuser -u root -- flock-cache claim k; echo claimed; read never")
        _ = script.line()
        #expect(script.line() == "claimed")
        let loser = stage.run("claim", "k")
        #expect(loser.code == 75, "\(loser)")
        #expect(loser.error.contains("pid \(script.id) (bash)"), "\(loser)")
    }

    // Behind a change of user the program's file cannot be read, and an executed script hides the shell.
    @Test(
        .enabled(
            if: canBeNobody && isInstalled("runuser"), "needs root, runuser, and a public build"))
    func aClaimInASubshellOfAnotherUsersScriptBelongsToTheScript() {
        let stage = Stage()
        chmod(stage.directory.path, 0o1777)
        let path = stage.directory("build-everything.sh")
        let text = """
            #!/bin/bash
            id=$(true; runuser -u nobody -- env PATH="$PATH" flock-cache claim k; true)
            echo claimed
            read never

            """
        write(text.utf8, to: path)
        chmod(path, 0o755)
        let script = Child(path, [], environment: stage.variables)
        #expect(script.line() == "claimed")
        let loser = stage.script("runuser -u nobody -- env PATH=\"$PATH\" flock-cache claim k")
        #expect(loser.code == 75, "\(loser)")
        #expect(loser.error.contains("pid \(script.id) ("), "\(loser)")
    }

    @Test func aShellThatIsUpgradedWhileAScriptRunsIsStillAShell() {
        let stage = Stage()
        let script = stage.script(
            """
            cp "$(command -v bash)" $WORK/bash
            exec $WORK/bash -c 'rm $WORK/bash; id=$(true; flock-cache claim k; true)
                flock-cache claim k 2>&1; echo $$'
            """)
        let lines = script.text.split(separator: "\n")
        #expect(lines.count == 2 && lines[0].contains("pid \(lines[1]) (bash)"), "\(script)")
    }

    @Test(.enabled(if: ownerProgram != nil, "needs a C compiler"))
    func aClaimOfAForkedWorkerIsTheWorkersAndNotItsServers() throws {
        let stage = Stage()
        let server = Child(
            try #require(ownerProgram), ["worker", "k"], environment: stage.variables)
        let worker = try #require(server.line().flatMap { Int32($0) })
        let loser = stage.run("claim", "k")
        #expect(loser.code == 75, "\(loser)")
        #expect(loser.error.contains("pid \(worker) (owner-program)"), "\(loser)")
        server.tell("kill it")
        #expect(server.line() == "the worker has ended")
        let next = stage.run("claim", "k")
        #expect(next.code == 0, "\(next)")
        #expect(next.error.contains("took over 'k': its owner, pid \(worker)"), "\(next)")
    }

    @Test func withVerboseTheCommandSaysWhomItChose() {
        let stage = Stage()
        let script = stage.start("flock-cache -v claim k 2>&1 >/dev/null; echo $$")
        let store = script.line()
        let from = "flock-cache: using the store at \(stage.store) (FLOCK_CACHE_DIR)"
        #expect(store == from + ", which does not exist yet")
        let words = script.line()
        #expect(words == "flock-cache: the claim is for pid \(script.id) (bash)")
    }

    @Test func anOwnerThatWasNamedCountsInsteadOfTheCaller() {
        let stage = Stage()
        let owner = stage.start("echo here; read never")
        _ = owner.line()
        // Both callers end at once; the claims live for as long as the one that was named.
        stage.script("flock-cache claim --owner \(owner.id) a; true")
        stage.script("export FLOCK_CACHE_OWNER=\(owner.id); flock-cache claim b; true")
        for key in ["a", "b"] {
            let loser = stage.run("claim", key)
            #expect(loser.code == 75, "\(loser)")
            #expect(loser.error.contains("pid \(owner.id) "), "\(loser)")
        }
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(stage.run("claim", "a").code == 0)
        #expect(stage.run("claim", "b").code == 0)
    }

    @Test func aLineThatEndsBeforeTheWorkNeedsAnOwner() {
        let stage = Stage()
        stage.script("flock-cache claim k; true")
        #expect(stage.run("claim", "k").code == 0)
    }

    @Test(arguments: ["dead", "0", "99999999999", "here"])
    func anOwnerThatDoesNotLiveIsRefused(owner: String) {
        let stage = Stage()
        var owner = owner
        if owner == "dead" {
            let child = stage.start("exit 0")
            _ = child.wait()
            owner = String(child.id)
        }
        let outcome = stage.script("FLOCK_CACHE_OWNER=\(owner) flock-cache claim k")
        #expect(outcome.code == 78, "\(outcome)")
        #expect(outcome.error.contains("owner") || outcome.error.contains("OWNER"), "\(outcome)")
        #expect(outcome.output.isEmpty)
        #expect(stage.run("get", "k").code == 1)
    }

    @Test(.enabled(if: isFirstNamespace, "in a container process 1 may be the program"))
    func theMachinesFirstProcessIsNoOwner() {
        let stage = Stage()
        let outcome = stage.run("claim", "--owner", "1", "k")
        #expect(outcome.code == 78, "\(outcome)")
        #expect(outcome.error.contains("name another process"), "\(outcome)")
    }

    @Test func aClaimOfNobodyNeedsAnEnd() {
        let stage = Stage()
        let outcome = stage.run("claim", "--owner", "none", "k")
        #expect(outcome.code == 64, "\(outcome)")
        #expect(outcome.error.contains("--stale-after"), "\(outcome)")
        #expect(stage.run("claim", "--owner", "none", "--stale-after", "1h", "k").code == 0)
        #expect(stage.run("claim", "k").code == 75)
        // Anybody may finalize what belongs to nobody.
        #expect(stage.script("flock-cache finalize k v").code == 0)
    }

    // A shell that is given its script as an argument executes the last command in its own place: the
    // owner of the claim is then the command itself, or what passes it on.
    @Test(
        arguments: [
            "flock-cache finalize k v", "timeout 5 flock-cache finalize k v",
            "exec flock-cache finalize k v", "flock-cache abandon k", "exec flock-cache abandon k",
        ], shells)
    func aShellThatBecomesItsLastCommandMayEndItsClaim(last: String, shell: String) {
        let stage = Stage()
        let script = stage.script("flock-cache claim k; \(last)", in: shell)
        #expect(script.code == 0, "\(script)")
        let isPublished = last.contains("finalize")
        #expect(stage.run("get", "k").code == (isPublished ? 0 : 1))
    }

    // The script of the loser ends, and its trap runs, while the winner is at work.
    @Test(arguments: shells)
    func aLosersTrapDoesNotUndoTheWinnersClaim(shell: String) {
        let stage = Stage()
        let winner = stage.start(
            "flock-cache claim h; read go; flock-cache finalize h v", in: shell)
        _ = winner.line()
        let loser = stage.script(
            "h=h; trap 'flock-cache abandon \"$h\"' EXIT; out=$(flock-cache claim \"$h\") || exit",
            in: shell)
        #expect(loser.code == 75, "\(loser)")
        #expect(stage.run("claim", "h").code == 75)
        #expect(stage.run("finalize", "h", "not mine").code == 76)
        winner.tell("go")
        #expect(winner.wait() == .exit(0))
        #expect(stage.run("get", "h").text == "v")
    }

    /// A signal that a stopped process gets when it is continued would not end it.
    @Test func howAStoppedOwnerIsEndedIsSaid() throws {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k; kill -STOP $$; sleep 600")
        _ = owner.line()
        #expect(
            waitUntil {
                String(decoding: contents(of: "/proc/\(owner.id)/stat") ?? [], as: UTF8.self)
                    .contains(") T ")
            })
        let removal = stage.run("remove", "--pending", "k")
        #expect(
            removal.code == 0 && removal.error.contains("is stopped, and can be continued"),
            "\(removal)")
        #expect(removal.error.hasSuffix("to end it: kill -KILL \(owner.id)\n"), "\(removal)")
        owner.kill(SIGKILL)
        #expect(owner.wait() == .signal(SIGKILL))
    }
}
