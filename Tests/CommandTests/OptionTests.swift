import Testing
import TestSupport

@testable import TestHelpers

/// A command line that is wrong, and words that its message must have.
struct WrongLine: CustomStringConvertible, Sendable {
    let line: String
    let words: [String]
    var description: String { line }

    init(_ line: String, _ words: String...) {
        self.line = line
        self.words = words
    }

    static let all = [
        WrongLine("", "which command", "help"),
        WrongLine("--", "which command"),
        WrongLine("clam", "no command 'clam'", "did you mean claim?"),
        WrongLine("finalise k v", "did you mean finalize?"),
        WrongLine("-w 5 claim k", "-w", "before a command"),
        WrongLine("--stor x claim k", "did you mean --store?"),
        WrongLine("claim --stale-aftr 5 k", "claim has no option --stale-aftr", "--stale-after?"),
        WrongLine("claim --waitt 5 k", "did you mean --wait?"),
        WrongLine("get --generation 5 k", "get has no option --generation"),
        WrongLine("claim -x k", "claim has no option -x"),
        WrongLine("claim -nx k", "claim has no option -x"),
        WrongLine("claim --quiet=yes k", "--quiet takes no value"),
        WrongLine("claim --no-wait= k", "--no-wait takes no value"),
        WrongLine("claim", "claim needs KEY", "help claim"),
        WrongLine("get", "get needs KEY"),
        WrongLine("remove", "remove needs KEY"),
        WrongLine("finalize k", "VALUE", "--file"),
        WrongLine("finalize k v --file f", "not both"),
        WrongLine("get a b", "does not take 'b'"),
        WrongLine("finalize k v w", "does not take 'w'"),
        WrongLine("stats k", "takes no operand, but 'k'"),
        WrongLine("claim k -w", "--wait needs a value"),
        WrongLine("claim k -w ''", "duration", "''"),
        WrongLine("claim k --wait=", "duration"),
        WrongLine("claim k -w 5x", "duration such as", "'5x'"),
        WrongLine("claim k -w -5", "duration", "'-5'"),
        WrongLine("claim k -w 1.2.3", "duration"),
        WrongLine("claim k -w 5m1h", "duration"),
        WrongLine("claim k -w 1m30", "duration"),
        WrongLine("claim k -w 1h1h", "duration"),
        WrongLine("claim k -n -w 3", "-n and -w 3 contradict each other"),
        WrongLine("claim k -w 53w -w 5300w", "'5300w' is too large"),
        WrongLine("-x claim k", "no option -x before a command"),
        WrongLine("--version=1", "--version takes no value"),
        WrongLine("lease --version", "--version"),
        WrongLine("claim k -w 1e3", "duration"),
        WrongLine("claim k -w '5 s'", "duration"),
        WrongLine("claim k -w nan", "duration"),
        WrongLine("claim k -w 999999999999d", "too large"),
        WrongLine("claim k --stale-after forever", "duration"),
        WrongLine("claim k --max-age .", "duration"),
        WrongLine("finalize k v --generation x", "generation", "'x'"),
        WrongLine("finalize k v --generation -1", "generation"),
        WrongLine("finalize k v --generation 99999999999999999999999", "too large"),
        WrongLine("claim k --owner me", "process number"),
        WrongLine("reap --max-bytes 5P", "size such as"),
        WrongLine("reap --max-bytes 5MB", "size such as"),
        WrongLine("reap --max-bytes 99999999999G", "'99999999999G' is too large"),
        WrongLine("reap --max-entries -1", "number"),
        WrongLine("init --mode 0777", "0700", "'0777'"),
        WrongLine("init --mode rwx", "octal"),
        WrongLine("help nonsense", "no command 'nonsense'"),
        WrongLine("man nonsense", "no command 'nonsense'"),
        WrongLine("completions tcsh", "tcsh", "bash, zsh and fish"),
        WrongLine("get --encoded a%2", "percent-encoded"),
        WrongLine("get --encoded a%zz", "percent-encoded"),
        // What other lockers have.
        WrongLine("unlock k", "no command 'unlock'", "released when its COMMAND exits"),
        WrongLine("ls", "use flock-cache list"),
        WrongLine("gc", "use flock-cache reap"),
        WrongLine("status", "use flock-cache who"),
        WrongLine("set k v", "use flock-cache put"),
    ]
}

@Suite(.ownThreads) struct OptionTests {
    @Test(arguments: WrongLine.all)
    func aWrongLineIsAUsageErrorThatSaysWhatIsWrong(wrong: WrongLine) {
        let stage = Stage()
        let outcome = stage.line(wrong.line)
        #expect(outcome.code == 64, "\(outcome)")
        #expect(outcome.output.isEmpty, "\(outcome)")
        for word in wrong.words { #expect(outcome.error.contains(word), "\(outcome)") }
        #expect(outcome.error.hasPrefix("flock-cache: "), "\(outcome)")
        #expect(outcome.error.split(separator: "\n").count == 1, "\(outcome)")
        #expect(names(in: stage.directory.path).isEmpty, "a usage error makes no store")
    }

    @Test(arguments: [
        "claim k -w5", "claim k -w 5", "claim -w5 k", "claim -w 5 k", "claim --wait=5 k",
        "claim --wait 5 k", "claim k --wait=5s", "claim -qw5 k", "claim -nqw0 k",
        "claim -w 5 -- k", "claim -w forever k", "claim -w 1 -w 2 k", "claim -w 0.5m k",
        "--store=$FLOCK_CACHE_DIR claim k", "--store $FLOCK_CACHE_DIR claim k",
        "claim k --store $FLOCK_CACHE_DIR", "claim --store=/nowhere --store=$FLOCK_CACHE_DIR k",
        "-q claim -v k", "claim k --stale-after=1h", "claim k --max-age 7d", "claim -w 1m30s k",
        "claim -w 2w k",
        "claim -w 1h0.5s k", "claim --encoded %6B", "claim --encoded k",
    ])
    func theManyWaysToWriteOptionsMeanTheSame(line: String) {
        let stage = Stage()
        let outcome = stage.line(line)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.generation != nil, "\(outcome)")
        #expect(stage.run("get", "k").code == 75)
    }

    @Test func whereAnOptionStandsTwiceTheLastOneCounts() {
        let stage = Stage()
        stage.run("claim", "k")
        // The first alone would wait for an hour.
        #expect(stage.run("claim", "-w", "1h", "k", "-w", "10ms").code == 124)
        #expect(stage.run("claim", "--wait=10ms", "k", "-w", "0").code == 75)
    }

    @Test func aWaitOfZeroIsTheSameAsNone() {
        let stage = Stage()
        stage.run("claim", "k")
        for words in [["-n"], ["-w", "0"], ["-w0s"], ["--wait=0"]] {
            let outcome = stage.run("claim", "k", words[0], words.count > 1 ? words[1] : "-q")
            #expect(outcome.code == 75, "\(words): \(outcome)")
        }
    }

    @Test func afterTwoHyphensEverythingIsAnOperand() {
        let stage = Stage()
        #expect(stage.run("claim", "--", "-w").code == 0)
        #expect(stage.run("finalize", "--", "-w", "--file").code == 0)
        #expect(stage.run("get", "--", "-w").text == "--file")
        // A single hyphen is no option, here as elsewhere.
        #expect(stage.run("get", "-").code == 1)
    }

    @Test func anEmptyOptionValueIsTheEmptyString() {
        let stage = Stage()
        stage.publish("k", "v")
        #expect(stage.run("list", "--prefix=").text.hasPrefix("ready\tk\t"))
        #expect(stage.run("list", "--prefix", "").text.hasPrefix("ready\tk\t"))
        let outcome = stage.run("--store=", "list")
        #expect(outcome.code == 64, "\(outcome)")
        #expect(outcome.error.contains("--store names no directory"), "\(outcome)")
    }

    @Test func anEmptyValueIsAValue() {
        let stage = Stage()
        stage.publish("k", "")
        let get = stage.run("get", "k")
        #expect(get.code == 0 && get.output.isEmpty, "\(get)")
    }

    @Test func noticesAreSilencedByQuietAndResultsAndErrorsAreNot() {
        let stage = Stage()
        let win = stage.run("-q", "claim", "k")
        #expect(win.generation != nil && win.error.isEmpty, "\(win)")
        let loser = stage.run("-q", "claim", "k")
        #expect(loser.code == 75 && loser.error.isEmpty, "\(loser)")
        for line in ["claim -q", "-q nonsense", "claim --quiet k l"] {
            let outcome = stage.line(line)
            #expect(outcome.code == 64 && !outcome.error.isEmpty, "\(line): \(outcome)")
        }
    }

    @Test func everyCommandExplainsItself() {
        let stage = Stage()
        let overview = stage.run("help")
        #expect(overview.code == 0)
        for verb in [
            "claim", "finalize", "abandon", "get", "remove", "list", "stats", "reap", "init",
        ] {
            #expect(overview.text.contains("  \(verb) "), "\(verb)")
            let help = stage.run("help", verb)
            #expect(help.code == 0 && help.text.contains("Usage: flock-cache \(verb)"), "\(help)")
            #expect(stage.run(verb, "--help").text == help.text)
            #expect(stage.run(verb, "-h").text == help.text)
            #expect(help.text.contains("Examples:"), "\(verb)")
        }
        #expect(names(in: stage.directory.path).isEmpty)
    }
}
