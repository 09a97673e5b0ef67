import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// What was found by somebody who tried to break the command, and must stay mended.
@Suite(.ownThreads) struct OvertakenTests {
    /// Once read, a value cannot be read again: it must not be published, cut or empty, in a store that
    /// was made anew under the command.
    @Test func aValueThatWasReadForAnotherStoreIsNotPublished() throws {
        let stage = Stage()
        let first = stage.run("claim", "--owner", "\(getpid())", "key")
        #expect(first.code == 0)
        let finalize = Child(
            builtProducts + "/flock-cache",
            ["finalize", "--owner", "\(getpid())", "key", "--file", "-"],
            environment: stage.variables)
        finalize.tell("the whole value")
        #expect(finalize.waitUntilInputIsRead())
        removeTree(stage.store)
        #expect(stage.run("claim", "--owner", "\(getpid())", "key").code == 0)
        finalize.closeInput()
        let ending = finalize.wait()
        let got = stage.run("get", "key")
        switch ending {
        case .exit(76): #expect(got.code == 75, "\(got)")
        case .exit(0): #expect(got.text == "the whole value\n", "\(got)")
        default: Issue.record("\(ending)")
        }
    }

    /// A holder's command, as somebody else may have written it, is text and nothing that a terminal
    /// obeys.
    @Test func whatARecordSaysIsNotObeyedByTheTerminal() throws {
        let stage = Stage()
        let outcome = stage.script(
            #"""
            cp "$(command -v sh)" "$WORK/evil$(printf '\033')]0;x" 2> /dev/null || exit 0
            "$WORK/evil$(printf '\033')]0;x" -c 'flock-cache claim key; flock-cache claim key; :'
            """#)
        #expect(!outcome.error.contains("\u{1b}"), "\(outcome.error.debugDescription)")
        #expect(!stage.run("list").text.contains("\u{1b}"))
    }
}
