import FlockCache
import TestSupport
import Testing

/// Listings and counts of stores that are not small.
@Suite struct ListingTests {
    @Test func aLineOfAListingIsFiveFields() throws {
        let stage = Stage()
        stage.publish("ready", "seven b")
        let pending = try #require(stage.run("claim", "pend/ing").generation)
        let lines = stage.run("list").text.split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        #expect(lines.allSatisfy { $0.count == 5 })
        let ready = try #require(lines.first { $0[0] == "ready" })
        #expect(ready[1] == "ready" && UInt64(ready[2]) != nil && UInt64(ready[3]) != nil)
        #expect(ready[4] == "7")
        let claim = try #require(lines.first { $0[0] == "pending" })
        #expect(claim[1] == "pend%2Fing" && claim[2] == "\(pending)")
        #expect(claim[4].hasPrefix("pid "))
        #expect(stage.run("list", "--ready").text.split(separator: "\n").count == 1)
        #expect(stage.run("list", "--pending").text.hasPrefix("pending\tpend%2Fing\t"))
        #expect(stage.run("list", "--prefix", "pend/").text.hasPrefix("pending\t"))
        #expect(stage.run("list", "--prefix", "pend%").output.isEmpty)
    }

    @Test func aValueThatIsComputedAnewIsListedAndCountedAsBoth() {
        let stage = Stage()
        stage.publish("k", "old")
        #expect(stage.run("claim", "--max-age", "0", "k").code == 0)
        let states = stage.run("list").text.split(separator: "\n").map { $0.prefix { $0 != "\t" } }
        #expect(states.sorted() == ["pending", "ready"])
        #expect(stage.run("list", "-0").output == Array("k\0".utf8))
        #expect(stage.run("stats").text.hasPrefix("pending 1\nready 1\n"))
    }

    @Test func statsAreTheCountsAndTheSizesOfTheFiles() throws {
        let stage = Stage()
        stage.publish("a", "1")
        stage.publish("b", String(repeating: "x", count: 1000))
        stage.run("claim", "c")
        let bytes = try stage.record("a").count + stage.record("b").count
        #expect(stage.run("stats").text == "pending 1\nready 2\nbytes \(bytes)\n")
        #expect(
            stage.run("--json", "stats").text
                == "{\"pending\":1,\"ready\":2,\"bytes\":\(bytes),\"damaged\":0,\"exact\":true}\n")
        stage.run("remove", "b", "a")
        stage.run("abandon", "c")
        #expect(stage.run("stats").text == "pending 0\nready 0\nbytes 0\n")
    }

    /// Reads a listing through a pipe, and the most memory it has used by two points of it: the command
    /// is then alive and waits to write on.
    private func peaks(of command: String, _ stage: Stage) -> (lines: Int, early: Int, late: Int) {
        let outcome = stage.script(
            """
            set -e
            size=$(flock-cache \(command) | wc -c)
            mkfifo $WORK/pipe
            flock-cache \(command) >$WORK/pipe &
            exec 3<$WORK/pipe
            peak() { sed -n 's/VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$!/status; }
            head -c 4096 <&3 >$WORK/listing
            peak
            head -c $((size - 4096 - 200000)) <&3 >>$WORK/listing
            peak
            cat <&3 >>$WORK/listing
            wait $!
            wc -l <$WORK/listing
            """)
        #expect(outcome.code == 0, "\(outcome)")
        let numbers = outcome.text.split(separator: "\n").compactMap { Int($0) }
        guard numbers.count == 3 else {
            Issue.record("\(outcome)")
            return (0, 0, 0)
        }
        return (numbers[2], numbers[0], numbers[1])
    }

    @Test func aLongListingStreams() throws {
        let stage = Stage()
        let store = try Store(at: stage.store)
        let count = wantsLongTests ? 100_000 : 20_000
        for number in 0..<count {
            guard case .won(let claim) = try store.claim(Store.Key("key-\(number)")) else {
                Issue.record("key-\(number) is fresh")
                return
            }
            try claim.finalize([])
        }
        let (lines, early, late) = peaks(of: "list", stage)
        print("list of \(count): \(early) KiB at its start, \(late) KiB near its end")
        #expect(lines == count)
        // A shard's names are in memory at a time, which are the more the larger the store is; all of
        // the lines would be megabytes more.
        #expect(late - early < 1024)
        #expect(late < 24 << 10)
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready \(count)\n"))
        let start = ContinuousClock.now
        #expect(try store.counts().ready == count)
        print("counts of \(count): \(ContinuousClock.now - start)")
        let keys = stage.script("flock-cache list -0 | tr '\\0' '\\n' | sort -u | wc -l")
        #expect(keys.text == "\(count)\n")
    }
}
