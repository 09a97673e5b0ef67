import Glibc
import TestSupport
import Testing

/// `lease` as scripts see it.
@Suite struct LeaseCommandTests {
    private let stage = Stage()

    @Test func aLeaseIsAcquiredCheckedRenewedAndReleased() throws {
        let first = stage.run("lease", "acquire", "deploy", "--ttl", "1m")
        #expect(first.code == 0, "\(first)")
        let generation = String(try #require(first.generation))
        let held = stage.run("lease", "acquire", "deploy", "--ttl", "1m")
        #expect(held.code == 75 && held.output.isEmpty, "\(held)")
        #expect(held.error.contains("deploy is leased by pid"), "\(held)")
        for action in ["check", "renew"] {
            let outcome = stage.run("lease", action, "deploy", "--generation", generation)
            #expect(outcome.code == 0 && outcome.output.isEmpty, "\(outcome)")
        }
        for _ in 0..<2 {
            #expect(stage.run("lease", "release", "deploy", "--generation", generation).code == 0)
        }
        let over = stage.run("lease", "check", "deploy", "--generation", generation)
        #expect(over.code == 76 && over.error.contains("is over"), "\(over)")
        let second = stage.run("lease", "acquire", "deploy", "--ttl", "1m", "-n")
        #expect(try #require(second.generation) > #require(first.generation))
        for action in ["check", "renew", "release"] {
            let outcome = stage.run("lease", action, "deploy", "--generation", generation)
            #expect(outcome.code == 76, "\(outcome)")
        }
    }

    @Test func aWaitEndsWith124AndALeaseThatIsOverIsTaken() throws {
        #expect(stage.run("lease", "acquire", "k", "--ttl", "1m").code == 0)
        #expect(stage.run("lease", "acquire", "k", "--ttl", "1m", "-w", "50ms").code == 124)
        #expect(stage.run("lease", "acquire", "k", "--ttl", "1m", "-w", "0").code == 75)
        let first = stage.run("lease", "acquire", "short", "--ttl", "50ms")
        let second = stage.run("lease", "acquire", "short", "--ttl", "50ms", "-w", "1m")
        #expect(try #require(second.generation) > #require(first.generation))
        // Over, and taken by nobody.
        let third = stage.run("lease", "acquire", "mine", "--ttl", "1ms")
        let generation = String(try #require(third.generation))
        #expect(
            waitUntil {
                stage.run("lease", "check", "mine", "--generation", generation).code == 76
            })
        #expect(stage.run("lease", "renew", "mine", "--generation", generation).code == 0)
    }

    @Test func anOwnersEndEndsItsLease() throws {
        let owner = stage.start(
            "flock-cache lease acquire k --owner $$; flock-cache lease acquire t --ttl 1m; read never"
        )
        let generation = try #require(owner.line())
        #expect(owner.line() != nil)
        #expect(stage.run("lease", "check", "k", "--generation", generation).code == 0)
        #expect(stage.run("lease", "renew", "k", "--generation", generation).code == 0)
        #expect(stage.run("lease", "acquire", "k", "--ttl", "1m").code == 75)
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(stage.run("lease", "check", "k", "--generation", generation).code == 76)
        #expect(stage.run("lease", "renew", "k", "--generation", generation).code == 76)
        #expect(stage.run("lease", "acquire", "k", "--ttl", "1m").code == 0)
        #expect(stage.run("lease", "acquire", "t", "--ttl", "1m").code == 75, "that one is by time")
    }

    @Test func withBothTheFirstEndsIt() throws {
        let owner = stage.start(
            """
            flock-cache lease acquire dies --owner $$ --ttl 1h
            flock-cache lease acquire runs-out --owner $$ --ttl 20ms
            read never
            """)
        #expect(owner.line() != nil && owner.line() != nil)
        let out = stage.run("lease", "acquire", "runs-out", "--ttl", "1m", "-w", "1m")
        #expect(out.code == 0, "\(out)")
        #expect(stage.run("lease", "acquire", "dies", "--ttl", "1m").code == 75)
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(stage.run("lease", "acquire", "dies", "--ttl", "1m").code == 0)
    }

    /// Fifty permits, sixty ask; half of the holders are processes that die.
    @Test func fiftyPermitsAreFiftyAndComeBack() throws {
        let children = (0..<60).map { index in
            stage.start(
                index % 2 == 0
                    ? "flock-cache lease acquire p --slots 50 --owner $$; echo $?; read never"
                    : "flock-cache lease acquire p --slots 50 --ttl 1h; echo $?; read never")
        }
        var (slots, generations): (Set<String>, Set<String>) = ([], [])
        var (owners, refused): ([Child], Int) = ([], 0)
        for (index, child) in children.enumerated() {
            let line = try #require(child.line())
            if line == "75" {
                refused += 1
                continue
            }
            let words = line.split(separator: " ").map(String.init)
            #expect(words.count == 2 && child.line() == "0", "\(line)")
            generations.insert(words[0])
            slots.insert(words[1])
            if index % 2 == 0 { owners.append(child) }
        }
        #expect(slots == Set((0..<50).map(String.init)) && generations.count == 50)
        #expect(refused == 10)
        for owner in owners {
            owner.kill(SIGKILL)
            _ = owner.wait()
        }
        var returned = 0
        while stage.run("lease", "acquire", "p", "--slots", "50", "--ttl", "1h").code == 0 {
            returned += 1
        }
        #expect(returned == owners.count, "those of killed owners, and no others")
        print("permits: 50 of 60 got one, 10 were told 75, \(returned) came back by death")
    }

    @Test func permitsComeBackWhenTheirTimeIsOver() {
        for slot in 0..<5 {
            let outcome = stage.run("lease", "acquire", "p", "--slots", "5", "--ttl", "3s")
            #expect(outcome.code == 0 && outcome.text.hasSuffix(" \(slot)\n"), "\(outcome)")
        }
        for _ in 0..<5 {
            let outcome = stage.run(
                "lease", "acquire", "p", "--slots", "5", "--ttl", "1h", "-w", "1m")
            #expect(outcome.code == 0, "\(outcome)")
        }
        #expect(stage.run("lease", "acquire", "p", "--slots", "5", "--ttl", "1h").code == 75)
    }

    @Test func whatCannotBeReportedIsReleased() {
        let outcome = stage.script("flock-cache lease acquire k --ttl 1h >/dev/full")
        #expect(outcome.code == 74 && outcome.error.contains("released"), "\(outcome)")
        #expect(stage.run("lease", "acquire", "k", "--ttl", "1h").code == 0)
    }

    @Test func resultsAreJSONWhereThatIsAskedFor() {
        let outcome = stage.run("lease", "acquire", "a b", "--ttl", "1h", "--slots", "2", "--json")
        #expect(outcome.text.hasPrefix("{\"state\":\"acquired\",\"key\":\"a%20b\",\"generation\":"))
        #expect(outcome.text.hasSuffix(",\"slot\":0}\n"), "\(outcome)")
        #expect(
            stage.run("lease", "renew", "k", "--generation", "1", "--json").error.contains("76"))
    }

    @Test(arguments: [
        WrongLine("lease", "lease needs one of", "acquire, renew, release, check"),
        WrongLine(
            "lease aquire k --ttl 5", "no command 'lease aquire'", "did you mean lease acquire?"),
        WrongLine("lease acquire", "lease acquire needs NAME", "help lease acquire"),
        WrongLine("lease acquire k", "--ttl, or --owner"),
        WrongLine("lease acquire k --ttl 0", "above 0"),
        WrongLine("lease acquire k --ttl forever", "duration"),
        WrongLine("lease acquire k --ttl 5 --slots x", "number"),
        WrongLine("lease acquire k --ttl 5 --slots 0", "1 to 4096"),
        WrongLine("lease acquire k --owner none", "process number"),
        WrongLine("lease acquire k --tt 5", "lease acquire has no option", "did you mean --ttl?"),
        WrongLine("lease renew k", "--generation is needed"),
        WrongLine("lease release k", "--generation is needed"),
        WrongLine("lease check k", "--generation is needed"),
        WrongLine("lease check k j --generation 1", "does not take 'j'"),
        WrongLine("help lease nonsense", "no command 'lease nonsense'"),
    ])
    func aWrongLineIsExplained(_ wrong: WrongLine) {
        let outcome = stage.script("flock-cache " + wrong.line)
        #expect(outcome.code == 64, "\(outcome)")
        for word in wrong.words { #expect(outcome.error.contains(word), "\(outcome.error)") }
        #expect(names(in: stage.directory.path).isEmpty, "a wrong line touches nothing")
    }

    @Test func helpExplainsTheActions() {
        let all = stage.run("help", "lease").text
        for action in ["acquire", "renew", "release", "check"] {
            #expect(all.contains("lease \(action) "))
            let one = stage.run("help", "lease", action).text
            #expect(one.contains("usage: flock-cache lease \(action) "))
            #expect(stage.run("lease", action, "--help").text == one)
        }
        #expect(stage.run("lease", "--help").text == all)
        #expect(stage.run("help").text.contains("lease"))
    }

    @Test func anOwnerThatDoesNotLiveIsRefused() {
        let outcome = stage.run("lease", "acquire", "k", "--owner", "4194304")
        #expect(outcome.code == 78 && outcome.error.contains("does not live"), "\(outcome)")
    }
}
