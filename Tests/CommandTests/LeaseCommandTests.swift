import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `lease` as scripts see it.
@Suite(.ownThreads) struct LeaseCommandTests {
    private let stage = Stage()

    @Test func aLeaseIsAcquiredCheckedRenewedAndReleased() throws {
        let first = stage.run("lease", "acquire", "deploy", "--ttl", "1m")
        #expect(first.code == 0, "\(first)")
        let generation = String(try #require(first.generation))
        let held = stage.run("lease", "acquire", "deploy", "--ttl", "1m")
        #expect(held.code == 75 && held.output.isEmpty, "\(held)")
        #expect(held.error.contains("lease 'deploy' is busy: held"), "\(held)")
        for action in ["check", "renew"] {
            let outcome = stage.run("lease", action, "deploy", "--generation", generation)
            #expect(outcome.code == 0 && outcome.output.isEmpty, "\(outcome)")
        }
        for _ in 0..<2 {
            #expect(stage.run("lease", "release", "deploy", "--generation", generation).code == 0)
        }
        let over = stage.run("lease", "check", "deploy", "--generation", generation)
        #expect(over.code == 76 && over.error.contains("not current"), "\(over)")
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

    @Test func aLeaseIsEndedByForce() throws {
        #expect(stage.run("lease", "release", "deploy", "--force").code == 0)
        #expect(names(in: stage.directory.path).isEmpty, "nobody has anything, and nothing is made")
        let first = String(
            try #require(stage.run("lease", "acquire", "deploy", "--ttl", "1m").generation))
        let who = stage.run("who", "deploy")
        #expect(who.text.contains("\t\(first)\t"), "\(who)")
        #expect(stage.run("who", "deploy", "--json").text.contains("\"generation\":\(first)"))
        let ended = stage.run("lease", "release", "deploy", "--force")
        #expect(ended.code == 0 && ended.error.contains("held by pid"), "\(ended)")
        for action in ["check", "renew", "release"] {
            #expect(stage.run("lease", action, "deploy", "--generation", first).code == 76)
        }
        let again = stage.run("lease", "release", "deploy", "--force")
        #expect(again.code == 0 && again.error.contains("was free"), "\(again)")
        for slot in 0..<3 {
            let outcome = stage.run("lease", "acquire", "p", "--slots", "3", "--ttl", "1h")
            #expect(outcome.text.hasSuffix(" \(slot)\n"), "\(outcome)")
        }
        let which = stage.run("lease", "release", "p", "--force")
        #expect(which.code == 64 && which.error.contains("0 1 2"), "\(which)")
        let json = stage.run("lease", "release", "p", "--force", "--slot", "1", "--json", "-q")
        #expect(
            json.text.hasPrefix("{\"state\":\"released\",\"key\":\"p\",\"text\":\"p\",\"slot\":1,"),
            "\(json)")
        let next = stage.run("lease", "acquire", "p", "--slots", "3", "--ttl", "1h")
        #expect(next.text.hasSuffix(" 1\n"), "\(next)")
    }

    @Test func aClaimIsRenewed() throws {
        #expect(stage.run("renew", "k", "--generation", "5").code == 76)
        #expect(names(in: stage.directory.path).isEmpty, "nothing is made")
        let claim = stage.run("claim", "k", "--stale-after", "1h")
        let generation = String(try #require(claim.generation, "\(claim)"))
        for _ in 0..<2 {
            let outcome = stage.run("renew", "k", "--generation", generation)
            #expect(outcome.code == 0 && outcome.output.isEmpty, "\(outcome)")
        }
        #expect(stage.run("claim", "k").code == 75)
        let other = stage.run("renew", "k", "--generation", "5")
        #expect(other.code == 76 && other.error.contains(generation), "\(other)")
        #expect(stage.run("finalize", "k", "v", "--generation", generation).code == 0)
        #expect(stage.run("renew", "k", "--generation", generation).code == 76)
        let plain = String(try #require(stage.run("claim", "plain").generation))
        #expect(stage.run("renew", "plain", "--generation", plain).code == 0)
        #expect(stage.run("abandon", "plain").code == 0)
        #expect(stage.run("renew", "plain", "--generation", plain).code == 76)
    }

    @Test func resultsAreJSONWhereThatIsAskedFor() {
        let outcome = stage.run("lease", "acquire", "a b", "--ttl", "1h", "--slots", "2", "--json")
        #expect(
            outcome.text.hasPrefix("{\"state\":\"acquired\",\"key\":\"a%20b\",\"text\":\"a b\","))
        #expect(outcome.text.hasSuffix(",\"slot\":0}\n"), "\(outcome)")
        #expect(
            stage.run("lease", "renew", "k", "--generation", "1", "--json").text.contains(
                "\"state\":\"lost\""))
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
        WrongLine("lease acquire k --ttl 40000d", "duration"),
        WrongLine("lease release k --force --generation 5", "not both"),
        WrongLine("lease release k --slot 5", "goes with --force"),
        WrongLine("lease release k --force --slot 5000", "0 to 4095"),
        WrongLine("renew k", "--generation is needed"),
        WrongLine("lease renew k", "--generation is needed"),
        WrongLine("lease release k", "--generation is needed"),
        WrongLine("lease check k", "--generation is needed"),
        WrongLine("lease check k j --generation 1", "does not take 'j'"),
        WrongLine("help lease nonsense", "no command 'lease nonsense'"),
    ])
    func aWrongLineIsExplained(_ wrong: WrongLine) {
        let outcome = stage.line(wrong.line)
        #expect(outcome.code == 64, "\(outcome)")
        for word in wrong.words { #expect(outcome.error.contains(word), "\(outcome.error)") }
        #expect(names(in: stage.directory.path).isEmpty, "a wrong line touches nothing")
    }

    @Test func helpExplainsTheActions() {
        let all = stage.run("help", "lease").text
        for action in ["acquire", "renew", "release", "check"] {
            #expect(all.contains("lease \(action) "))
            let one = stage.run("help", "lease", action).text
            #expect(one.contains("Usage: flock-cache lease \(action) "))
            #expect(stage.run("lease", action, "--help").text == one)
        }
        #expect(stage.run("lease", "--help").text == all)
        #expect(stage.run("help").text.contains("lease"))
    }

    @Test func anOwnerThatDoesNotLiveIsRefused() {
        let outcome = stage.run("lease", "acquire", "k", "--owner", "4194304")
        #expect(outcome.code == 78 && outcome.error.contains("no such process"), "\(outcome)")
    }
}
