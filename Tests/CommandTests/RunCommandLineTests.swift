import Testing
import TestSupport

@testable import TestHelpers

/// How `run` is called, and the codes it ends with.
@Suite(.ownThreads) struct RunCommandLineTests {
    static let wrong = [
        WrongLine("run", "run needs KEY"),
        WrongLine("run k", "run needs a COMMAND", "run [OPTIONS] KEY"),
        WrongLine("run k --", "run needs a COMMAND"),
        WrongLine("run -- k", "run needs KEY before --, and 'k' is behind it"),
        WrongLine("run -- env date", "run needs KEY before --, and 'env' is behind it"),
        WrongLine("run --bad k -- x", "run has no option --bad"),
        WrongLine("run k -x", "run has no option -x"),
        WrongLine("run --wiat 5 k -- x", "did you mean --wait?"),
        WrongLine("run -w soon k -- x", "duration", "'soon'"),
        WrongLine("run -E 256 k -- x", "0 to 255"),
        WrongLine("run --max-age x k -- x", "duration"),
        WrongLine("run '' -- x", "empty"),
        WrongLine("run -w soon k -- x -q", "duration"),
        WrongLine("run --store= k -- x", "--store names no directory"),
    ]

    @Test(arguments: wrong)
    func aWrongLineIsAnOwnFailureThatSaysWhatIsWrong(wrong: WrongLine) {
        let stage = Stage()
        let outcome = stage.line(wrong.line)
        #expect(outcome.code == 125, "\(outcome)")
        #expect(outcome.output.isEmpty, "\(outcome)")
        for word in wrong.words { #expect(outcome.error.contains(word), "\(outcome)") }
        #expect(outcome.error.split(separator: "\n").count == 1, "\(outcome)")
        #expect(names(in: stage.directory.path).isEmpty, "a usage error makes no store")
    }

    @Test func theHelpShowsTheCommandAndIsNoFailure() {
        let stage = Stage()
        let help = stage.run("help", "run")
        #expect(help.code == 0 && help.text.contains("KEY [--] COMMAND"), "\(help)")
        #expect(stage.run("run", "--help").text == help.text)
        #expect(stage.run("run", "k", "-h", "--", "false").text == help.text)
        #expect(stage.run("help").text.contains("  run "))
    }
}
