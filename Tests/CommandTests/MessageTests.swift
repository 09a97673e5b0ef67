import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Error messages: what failed, why, and what to do; each with the key, path or limit concerned.
@Suite(.ownThreads) struct MessageTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let line: String
        let code: Int32
        /// Must be in the message, in this order: what, why, what to do.
        let parts: [String]
        var testDescription: String { line }

        init(_ line: String, _ code: Int32, _ parts: String...) {
            self.line = line
            self.code = code
            self.parts = parts
        }
    }

    /// In the store: `ready` is a value, `pending` and `lost` are claimed by this process, `dead` by one that has
    /// exited, lease `held` is taken, `number` is 5.
    static let cases = [
        Case("", 64, "which command", "flock-cache help"),
        Case("clam k", 64, "no command 'clam'", "did you mean claim?"),
        Case(
            "unlock k", 64, "no command 'unlock'", "released when its COMMAND exits",
            "lease release"),
        Case("ls", 64, "no command 'ls'", "use flock-cache list"),
        Case("gc", 64, "no command 'gc'", "use flock-cache reap"),
        Case("fsck", 64, "no command 'fsck'", "use flock-cache doctor"),
        Case("claim", 64, "claim needs KEY", "see flock-cache help claim"),
        Case("put", 64, "put needs KEY", "see flock-cache help put"),
        Case("reap k", 64, "reap takes no operand", "'k'"),
        Case("put k -5", 64, "put has no option -5", "put -- before"),
        Case("journal tail l", 64, "no command 'journal tail'", "journal read NAME --follow"),
        Case("lease n --ttl 1s", 64, "no command 'lease n'", "one of run, acquire"),
        Case("lease status n", 64, "no command 'lease status'", "use flock-cache who NAME"),
        Case("doctor --fix", 64, "no option --fix", "use --repair"),
        Case("reap --max-size 1G", 64, "no option --max-size", "use --max-bytes SIZE"),
        Case("reap --older-than 1d", 64, "no option --older-than", "use --max-age D"),
        Case("lock --ttl 1s k -- true", 125, "no option --ttl", "lease run NAME --ttl D"),
        Case("lease release n", 64, "--generation is needed", "--force"),
        Case("get a b", 64, "get does not take 'b'", "quote"),
        Case("claim -w 5x k", 64, "--wait takes a duration", "'5x'"),
        Case("claim -w 999999999w k", 64, "'999999999w' is too large", "such as"),
        Case("reap --max-bytes 5P", 64, "--max-bytes takes a size", "'5P'"),
        Case("reap --max-bytes 99999999999T", 64, "too large", "such as"),
        Case("claim -n -w 3 k", 64, "-n and -w 3 contradict", "give one"),
        Case("claim --stale-aftr 5 k", 64, "no option --stale-aftr", "did you mean --stale-after?"),
        Case("get --timeout 5 k", 64, "get has no option --timeout"),
        Case("wait --timeout 5 k", 64, "wait has no option --timeout", "use -w D"),
        Case(
            "lock -x k -- true", 125, "lock has no option -x", "exclusive by default",
            "leave it out"),
        Case("lock -o k -- true", 125, "lock has no option -o", "never inherits", "leave it out"),
        Case("-w 10 k true", 64, "no option -w before a command", "flock-cache lock [OPTIONS] KEY"),
        Case("/run/lock/k true", 64, "no command '/run/lock/k'", "flock-cache lock [OPTIONS] KEY"),
        Case("lock k rsync -a b c", 125, "lock has no option -a", "put -- before COMMAND"),
        Case("-w 5 claim k", 64, "no option -w before a command", "put it behind the command"),
        Case("increment k --ttl 5", 64, "no option --ttl", "no time to live"),
        Case("claim --ttl 5m k", 64, "no option --ttl", "use --stale-after D"),
        Case("put k v --ttl 5m", 64, "no option --ttl", "no time to live"),
        Case("lock -c true k", 125, "lock has no option -c", "sh -c"),
        Case("lock k true", 125, "lock needs -- and a COMMAND", "KEY… -- COMMAND"),
        Case("lease run n -- true", 125, "needs --ttl"),
        Case(
            "lease run --ttl 10 -- ./serve A", 125, "lease run needs NAME before --",
            "'./serve' is behind it"),
        Case("lease acquire n", 64, "needs --ttl", "--owner"),
        Case("lease renew n", 64, "--generation is needed", "lease acquire printed"),
        Case("finalize ready", 64, "needs a VALUE", "--file"),
        Case("get ''", 64, "cannot use the key", "empty", "at least one byte"),
        Case("get --encoded a%2", 64, "'a%2' is not percent-encoded", "leave --encoded out"),
        Case("claim --owner none k", 64, "--owner none needs --stale-after"),
        Case("claim --owner 4194304 k", 78, "pid 4194304", "no such process", "--owner none"),
        Case("claim pending", 75, "'pending' is busy", "claimed", "pid"),
        Case("claim pending -w 30ms", 124, "timed out after 30 ms", "'pending'", "claimed", "pid"),
        Case("get pending", 75, "'pending' is busy", "claimed", "pid"),
        Case(
            "get dead", 75, "'dead' is busy", "which has exited",
            "'flock-cache claim' takes it over"),
        Case("remove pending", 75, "'pending' is busy", "not removed", "--pending"),
        Case("put pending v", 75, "'pending' is busy", "pid", "nothing was changed"),
        Case("remove --pending pending", 0, "removed the claim of 'pending'", "goes on", "kill"),
        Case(
            "wait absent -w 30ms --also-absent", 124, "timed out after 30 ms", "'absent'",
            "no process has claimed it"),
        Case("lease acquire held --ttl 1s", 75, "lease 'held' is busy", "held for", "pid"),
        Case(
            "lease acquire held --ttl 1s -w 30ms", 124, "timed out after 30 ms", "lease 'held'",
            "pid"),
        Case("lease check held --generation 1", 76, "generation 1 of lease 'held'", "not current"),
        Case("finalize lost --generation 1 v", 76, "lost", "generation"),
        Case("increment ready", 65, "ready", "not a decimal number", "remove the key"),
        Case("increment number x", 64, "whole number", "'x'"),
        Case("increment number --min 5 --max 1", 64, "--min 5 is above --max 1"),
        Case("finalize lost --file /nowhere", 74, "lost", "/nowhere", "No such file"),
        Case("--store /proc get k", 69, "/proc", "not known", "local disk"),
        Case(
            "--store /etc/passwd get k", 66, "/etc/passwd", "not a directory",
            "name an empty or a new directory"),
        Case("--store '~/x' get k", 64, "~/x", "shell", "in full"),
        Case("--store /usr get k", 66, "/usr", "not empty", "new directory"),
        Case("init --mode 0777", 64, "--mode takes", "0700", "'0777'"),
        Case("init --durable", 73, "exists with other settings", "cannot be changed"),
        Case("watch", 78, "journal", "init --journal"),
        Case("journal read ready --from x", 64, "--from takes a number", "'x'"),
        Case("completions tcsh", 64, "no completions for 'tcsh'", "bash, zsh and fish"),
        Case("help nonsense", 64, "no command 'nonsense'", "flock-cache help lists all"),
    ]

    @Test func eachSaysWhatFailedWhyAndWhatToDo() {
        let stage = Stage()
        stage.publish("ready", "not a number")
        stage.run("claim", "pending")
        stage.run("claim", "lost")
        stage.claimForTheDead("dead")
        stage.run("lease", "acquire", "held", "--ttl", "1h")
        stage.run("increment", "number", "5")
        #expect(Self.cases.count >= 40)
        for item in Self.cases {
            let outcome = stage.line(item.line)
            #expect(outcome.code == item.code, "\(item.line): \(outcome)")
            check(outcome.error, item)
        }
        // A claim that its owner has left is shown, and held by no process.
        let dead = stage.run("who", "dead")
        #expect(dead.code == 1 && dead.text.hasSuffix("exited\n"), "\(dead)")
        // Nothing of it has changed anything.
        #expect(stage.run("get", "ready").text == "not a number")
        #expect(stage.run("get", "number").text == "5")
    }

    private func check(_ message: String, _ item: Case) {
        #expect(
            message.hasPrefix("flock-cache: ") && message.hasSuffix("\n"),
            "\(item.line): \(message)")
        #expect(message.split(separator: "\n").count == 1, "\(item.line): \(message)")
        var rest = Substring(message)
        for part in item.parts {
            guard let range = rest.firstRange(of: part) else {
                Issue.record("\(item.line): no '\(part)' in \(message)")
                return
            }
            rest = rest[range.upperBound...]
        }
        for word in ["omebody", "obody", "anybody", " anew", "is at it", "not now"] {
            #expect(!message.contains(word), "\(item.line): '\(word)' in \(message)")
        }
    }
}
