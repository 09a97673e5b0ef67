import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Values of a clock that was ahead are not fresh for ever.
@Suite(.ownThreads) struct FutureTests {
    /// A stage with a value that was published by a clock ahead by so many seconds.
    private func stage(_ ahead: Int) -> Stage {
        let stage = Stage()
        stage.script(
            """
            export FLOCK_CACHE_WALL_CLOCK=\(ahead) FLOCK_CACHE_OWNER=$$
            flock-cache claim k >/dev/null && flock-cache finalize k old
            """)
        #expect(stage.run("get", "k").text == "old")
        return stage
    }

    @Test(arguments: [30, 86_400, 315_576_000], ["0", "10s", "100d"])
    func aValueFromTheFutureIsOlderThanAnyAge(ahead: Int, maxAge: String) throws {
        let got = stage(ahead).run("get", "k", "--max-age", maxAge)
        #expect(got.code == 1 && got.text.isEmpty, "\(got)")
        let run = stage(ahead)
        let ran = run.script("flock-cache run k --max-age \(maxAge) -- echo new")
        #expect(ran.code == 0 && ran.text == "new\n", "\(ran)")
        // What was computed anew has an age again.
        let again = run.script("flock-cache run k --max-age 100d -- echo newer")
        #expect(again.text == "new\n", "\(again)")
        let claimed = stage(ahead).run("claim", "k", "--max-age", maxAge)
        #expect(claimed.code == 0 && claimed.generation != nil, "\(claimed)")
        let reaped = stage(ahead).run("reap", "--max-age", maxAge)
        #expect(reaped.text == "k\ttoo-old\n", "\(reaped)")
    }

    @Test func useSetsATimeInTheFutureRightAndWithoutUseItIsNoUse() throws {
        let stage = Stage()
        for key in ["a", "b", "c"] { stage.publish(key, "v") }
        setModified(try #require(stage.entryFile("a")), secondsAgo: 1000)
        for key in ["b", "c"] {
            setModified(try #require(stage.entryFile(key)), secondsAgo: -86_400)
        }
        #expect(stage.run("get", "b").code == 0)
        var status = stat()
        #expect(stat(try #require(stage.entryFile("b")), &status) == 0)
        #expect(status.st_mtim.tv_sec <= time(nil) + 1, "use sets the time right")
        // `c` was not used since its clock was set right; `a` was, a while ago; `b` just now.
        #expect(stage.run("reap", "--max-entries", "2").text == "c\tevicted\n")
        #expect(stage.run("reap", "--max-entries", "1").text == "a\tevicted\n")
    }

    @Test func timesBeyondAllClocksAreTimesToo() throws {
        let stage = Stage()
        let ends = [Int.max, Int.min, 16_000_000_000, -16_000_000_000]
        for (index, seconds) in ends.enumerated() {
            stage.publish("k\(index)", "v")
            let moment = timespec(tv_sec: seconds, tv_nsec: 999_999_999)
            utimensat(AT_FDCWD, try #require(stage.entryFile("k\(index)")), [moment, moment], 0)
        }
        stage.publish("now", "v")
        #expect(stage.run("list").text.split(separator: "\n").count == 5)
        let reaped = stage.run("reap", "--max-entries", "1")
        #expect(reaped.code == 0 && reaped.text.split(separator: "\n").count == 4, "\(reaped)")
        #expect(!reaped.text.contains("now"), "\(reaped)")
        #expect(stage.run("get", "now").code == 0)
    }
}

/// Numbers at and beyond the ends of all ranges, on the command line and in the environment.
@Suite(.ownThreads) struct OddNumberTests {
    private static let numbers = [
        "0", "1", "2147483648", "4294967296", "9007199254740992", "9223372036854775807",
        "9223372036854775808", "18446744073709551615", "18446744073709551616",
        "340282366920938463463374607431768211456", "9223372036854775807G", "8589934592G", "8G",
        "106751991167d", "999999999999999999999d", "3200000000", "0.0000000001", ".5", "5.",
        "1.2.3",
        "-1", "+1", "0x10", "1e18", "nan", "inf", String(repeating: "9", count: 400),
    ]

    @Test(arguments: [
        "reap --max-age %", "reap --max-bytes %", "reap --max-entries %",
        "reap --assume-dead-after %", "get k --max-age %",
        "claim n --stale-after % --owner none", "claim k -w %",
        "claim k --owner %", "finalize k v --generation %", "abandon k --generation %",
        "lease acquire l --ttl %", "lease acquire m --ttl 1s --slots %",
        "lease check l --generation %",
        "lock -n -E % a -- true", "lock -n --slots % a -- true", "wait k -w %",
    ])
    func optionsTrapNothing(line: String) {
        let stage = Stage()
        stage.publish("k", "v")
        for number in Self.numbers {
            let words = line.split(separator: " ").map { $0 == "%" ? number : String($0) }
            let outcome = TestSupport.run(
                builtProducts + "/flock-cache", words, environment: stage.variables)
            guard case .exit(let code) = outcome.ending, code < 128 else {
                Issue.record("\(words): \(outcome)")
                continue
            }
        }
        #expect(stage.run("stats").code == 0)
    }

    @Test func variablesTrapNothing() {
        var random = Seeded("variables")
        var stage = Stage()
        stage.run("claim", "k")
        let words = [
            "lock", "claim", "", "x", "s", "%6B", "k", "ffffffffffffffff", "3fffffffffffffff",
        ]
        for round in 0..<(wantsLongTests ? 1000 : 60) {
            let entries = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                (0..<Int.random(in: 1...7, using: &random)).map { _ in
                    (words + Self.numbers).randomElement(using: &random) ?? ""
                }.joined(separator: "/")
            }
            stage.variables["FLOCK_CACHE_HELD"] = entries.joined(separator: " ")
            stage.variables["FLOCK_CACHE_WAIT"] =
                round % 2 == 0 ? "0" : Self.numbers[round % Self.numbers.count]
            stage.variables["FLOCK_CACHE_OWNER"] = Self.numbers[round % Self.numbers.count]
            for line in ["lock -w 10ms a -- true", "claim j", "wait k -n", "run -n k -- true"] {
                let outcome = stage.script("timeout 20 flock-cache \(line)")
                #expect(outcome.code < 128, "\(entries) \(line): \(outcome)")
            }
        }
    }
}
