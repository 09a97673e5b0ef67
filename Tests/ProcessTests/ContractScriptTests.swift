import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// The script that users are told to write, as it stands in the contract.
private let contractScript = #"""
    rc=0; out=$(flock-cache claim -w 10m -- "$hash") || rc=$?
    case $rc in
      0) id=$(upload "$file") || { flock-cache abandon --generation "$out" -- "$hash"; exit 1; }   # won
         flock-cache finalize --generation "$out" -- "$hash" "$id" || exit ;;
      1) id=$out ;;                                                                                # READY
      *) exit "$rc" ;;
    esac
    echo "$id"
    """#

/// A shell, with and without `set -e`.
struct Setting: CustomStringConvertible, Sendable {
    let shell: String
    let stopsAtErrors: Bool

    static let all = shells.flatMap { shell in
        [false, true].map { Setting(shell: shell, stopsAtErrors: $0) }
    }

    var description: String { shell + (stopsAtErrors ? " -e" : "") }

    /// A program around the script: `upload` is what the work is.
    func program(upload: String, waiting: String = "10m", body: (String) -> String = { $0 })
        -> String
    {
        """
        \(stopsAtErrors ? "set -e" : "")
        hash=h; file=a-file
        upload() { echo "$1" >>"$WORK/uploads"; \(upload); }
        \(body(contractScript.replacing("-w 10m", with: "-w \(waiting)")))
        """
    }
}

@Suite(.ownThreads) struct ContractScriptTests {
    /// Runs it as a program of its own: a file that a shell is given.
    private func start(_ program: String, _ setting: Setting, _ stage: Stage) -> Child {
        let path = stage.directory("upload.sh")
        write((program + "\n").utf8, to: path)
        return Child(setting.shell, [path], environment: stage.variables)
    }

    private func uploads(_ stage: Stage) -> Int {
        contents(of: stage.directory("uploads"))?.count { $0 == 10 } ?? 0
    }

    @Test(arguments: Setting.all)
    func whoeverWinsUploadsAndPublishes(setting: Setting) {
        let stage = Stage()
        let program = setting.program(upload: #"echo "id of $1""#)
        let outcome = start(program, setting, stage).finish()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text == "id of a-file\n")
        #expect(outcome.error == "")
        #expect(stage.run("get", "h").text == "id of a-file")
        #expect(uploads(stage) == 1)

        // And once more: it is READY, nothing is uploaded, the same id is printed.
        let again = start(program, setting, stage).finish()
        #expect(again.code == 0, "\(again)")
        #expect(again.text == "id of a-file\n")
        #expect(uploads(stage) == 1)
    }

    @Test(arguments: Setting.all)
    func aFailedUploadGivesTheClaimUp(setting: Setting) {
        let stage = Stage()
        let program = setting.program(upload: "echo half an id; return 3")
        let outcome = start(program, setting, stage).finish()
        #expect(outcome.code == 1, "\(outcome)")
        #expect(outcome.text == "")
        #expect(stage.run("get", "h").code == 1)
        // A retry wins without taking anything over: it was abandoned, not left behind.
        let retry = stage.run("claim", "h")
        #expect(retry.code == 0, "\(retry)")
        #expect(retry.error == "")
    }

    @Test(arguments: Setting.all)
    func aClaimThatStaysPendingEndsTheScriptWithItsCode(setting: Setting) {
        let stage = Stage()
        let holder = stage.run("claim", "h")
        let program = setting.program(upload: "echo never", waiting: "200ms")
        let outcome = start(program, setting, stage).finish()
        #expect(outcome.code == 124, "\(outcome)")
        #expect(outcome.text == "")
        #expect(outcome.error.contains("waiting for 'h': claimed"), "\(outcome)")
        #expect(uploads(stage) == 0)
        // The wait has changed nothing of the holder's.
        #expect(
            stage.run("finalize", "--generation", "\(holder.generation ?? 0)", "h", "v").code == 0)
    }

    @Test(arguments: Setting.all)
    func aClaimThatIsLostDuringTheUploadEndsTheScriptWith76(setting: Setting) {
        let stage = Stage()
        let program = setting.program(
            upload: "flock-cache remove --pending \"$hash\"; echo lost")
        let outcome = start(program, setting, stage).finish()
        #expect(outcome.code == 76, "\(outcome)")
        #expect(outcome.text == "")
        #expect(outcome.error.contains("neither a claim nor a value"), "\(outcome)")
        #expect(stage.run("get", "h").code == 1)
    }

    @Test(arguments: Setting.all)
    func aWaitingScriptGetsWhatTheHolderPublishes(setting: Setting) {
        let stage = Stage()
        let holder = stage.run("claim", "h")
        let script = start(setting.program(upload: "echo never"), setting, stage)
        #expect(
            stage.run("finalize", "--generation", "\(holder.generation ?? 0)", "h", "theirs").code
                == 0)
        let outcome = script.finish()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text == "theirs\n")
        #expect(uploads(stage) == 0)
    }

    @Test(arguments: Setting.all)
    func aWaitingScriptTakesOverWhenTheHolderDies(setting: Setting) {
        let stage = Stage()
        let holder = stage.start("flock-cache claim h; read never")
        _ = holder.line()
        let script = start(setting.program(upload: "echo mine"), setting, stage)
        holder.kill(SIGKILL)
        _ = holder.wait()
        let outcome = script.finish()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text == "mine\n")
        #expect(uploads(stage) == 1)
        #expect(stage.run("get", "h").text == "mine")
    }

    // All ten have one owner, the script; their generations tell them apart.
    @Test(arguments: Setting.all)
    func tenBackgroundSubshellsOfOneScriptUploadOnceAndAllPrintTheId(setting: Setting) {
        let stage = Stage()
        let program = setting.program(upload: "sleep 0.02; echo \"id $hash\"") { script in
            """
            for round in 1 2 3 4 5 6 7 8 9 10; do
                hash=h$round
                for worker in 1 2 3 4 5 6 7 8 9 10; do
                    (
            \(script)
                    ) &
                done
                wait
            done
            """
        }
        let outcome = start(program, setting, stage).finish()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.error == "")
        let expected = (1...10).map { String(repeating: "id h\($0)\n", count: 10) }.joined()
        #expect(outcome.text == expected)
        #expect(uploads(stage) == 10)
    }
}
