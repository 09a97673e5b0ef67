import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// How `lock` is called, and the codes it ends with.
@Suite(.ownThreads(minutes: 5)) struct LockCommandLineTests {
    private let stage = Stage()

    // MARK: Codes of COMMAND

    // MARK: Codes of its own

    static let wrong = [
        WrongLine("lock", "lock needs KEY"),
        WrongLine("lock --", "lock needs KEY"),
        WrongLine("lock k", "lock needs -- and a COMMAND", "lock [OPTIONS] KEY"),
        WrongLine("lock k true", "lock needs -- and a COMMAND"),
        WrongLine("lock k --", "lock needs -- and a COMMAND"),
        WrongLine("lock -- k", "lock needs KEY… before --, and 'k' is behind it"),
        WrongLine("lock --slots 0 k -- x", "--slots", "1 to 4096"),
        WrongLine("lock --slots 4097 k -- x", "--slots", "1 to 4096"),
        WrongLine("lock --slots 99999999999999999999 k -- x", "--slots"),
        WrongLine("lock --slots x k -- x", "--slots", "number"),
        WrongLine("lock --slots -1 k -- x", "--slots", "number"),
        WrongLine("lock --slots= k -- x", "--slots", "number"),
        WrongLine("lock --slots 2 k l -- x", "one KEY"),
        WrongLine("lock -s --slots 2 k -- x", "exclude each other"),
        WrongLine("lock --bad k -- x", "lock has no option --bad"),
        WrongLine("lock k -x -- x", "lock has no option -x"),
        WrongLine("lock --wiat 5 k -- x", "did you mean --wait?"),
        WrongLine("lock -w soon k -- x", "duration", "'soon'"),
        WrongLine("lock -w -1 k -- x", "duration"),
        WrongLine("lock -E 256 k -- x", "0 to 255"),
        WrongLine("lock '' -- x", "empty"),
        WrongLine("lock a '' -- x", "empty"),
        WrongLine("lock --store= k -- x", "--store names no directory"),
    ]

    @Test(arguments: wrong)
    func aWrongLineIsAnOwnFailureThatSaysWhatIsWrong(wrong: WrongLine) {
        let outcome = stage.line(wrong.line)
        #expect(outcome.code == 125, "\(outcome)")
        #expect(outcome.output.isEmpty, "\(outcome)")
        for word in wrong.words { #expect(outcome.error.contains(word), "\(outcome)") }
        #expect(outcome.error.split(separator: "\n").count == 1, "\(outcome)")
        #expect(names(in: stage.directory.path).isEmpty, "a usage error makes no store")
    }

    // MARK: Keys
}
