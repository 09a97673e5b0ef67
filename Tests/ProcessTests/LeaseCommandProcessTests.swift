import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `lease` as scripts see it.
@Suite(.ownThreads) struct LeaseCommandProcessTests {
    private let stage = Stage()

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

    @Test func whatCannotBeReportedIsReleased() {
        let outcome = stage.script("flock-cache lease acquire k --ttl 1h >/dev/full")
        #expect(outcome.code == 74 && outcome.error.contains("released"), "\(outcome)")
        #expect(stage.run("lease", "acquire", "k", "--ttl", "1h").code == 0)
    }
}
