import FlockCache
import Testing
import TestSupport

@testable import TestHelpers

/// Listings and counts of stores that are not small.
@Suite(.ownThreads) struct LongListingTests {
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
            \(ownMemory)
            peak() { own_memory $!; }
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
        #expect(late < 3 * ownMemoryBound)
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready \(count)\n"))
        let start = ContinuousClock.now
        #expect(try store.counts().ready == count)
        print("counts of \(count): \(ContinuousClock.now - start)")
        let keys = stage.script("flock-cache list -0 | tr '\\0' '\\n' | sort -u | wc -l")
        #expect(keys.text == "\(count)\n")
    }
}
