import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A change that waits for a stopped process says which.
@Suite(.ownThreads) struct StuckTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private let shard = 0x21

    /// Who is said to be changing the shard.
    private func mark() throws -> Int32? {
        let bytes = try #require(contents(of: path + "/locks/shards"))
        let start = 64 + shard * ShardBlock.byteCount
        return bytes[start..<start + ShardBlock.byteCount].withUnsafeBytes {
            ShardBlock(UnsafeRawBufferPointer(rebasing: $0[...]))?.changer
        }
    }

    /// A claim stopped at each system call in turn.
    ///
    /// From taking the mutex until its mark is written, and from its last mark until it lets go, the block
    /// says nothing, or what a killed process left.
    @Test(arguments: [0, 1])
    func aHolderThatHasNotLeftItsMarkIsNamed(_ leftMark: Int) throws {
        let store = try Store(at: path)
        let keys = keys(200, inShard: shard)
        #expect(try store.claimAndFinalize(keys[0], "value".utf8).isWon)
        var unmarked = 0
        for (number, key) in keys.enumerated().dropFirst() {
            if leftMark > 0 {
                // Killed in the middle of a change: the number means this very process now.
                let held = try HeldShard(store.session.forWriting(), shard)
                var block = held.block
                block.changer = getpid()
                try store.session.forWriting().shards.file().write(block, of: shard)
                withExtendedLifetime(held) {}
            }
            let stopped = Child(
                builtProducts + "/flock-cache",
                ["--store", path, "claim", "--owner", "\(getpid())", "\(key)"],
                environment: ["FLOCK_CACHE_FAULT": "\(number):STOP"])
            guard stopped.waitForStop() else { break }
            guard anyMutexIsHeld(path) else { continue }
            if try mark() != stopped.id { unmarked += 1 }
            let opened = try store.session.forWriting()
            let error = ShardMutex.stuck(
                opened.shards, shard, try opened.shards.file(), .seconds(10))
            let words = "pid \(stopped.id) is in the middle of a change"
            #expect(error.code == .timedOut, "call \(number)")
            #expect(error.description.contains(words), "call \(number): \(error)")
            if unmarked == 1 {
                // What a user sees: that wait is a second at least.
                let rival = run(
                    builtProducts + "/flock-cache",
                    ["--store", path, "claim", "-w", "1ms", "--owner", "\(getpid())", "\(key)"],
                    environment: [:])
                #expect(rival.code == 124, "\(rival)")
                #expect(rival.error.contains(words), "\(rival)")
            }
        }
        #expect(unmarked > 1, "calls between taking the mutex and writing the mark")
    }

    @Test func aThreadOfThisProcessIsNoProcessToBeEnded() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", "value".utf8).isWon)
        let held = try HeldShard(store.session.forWriting(), shard)
        let opened = try Store(at: path).session.forWriting()
        let error = ShardMutex.stuck(opened.shards, shard, try opened.shards.file(), .seconds(10))
        #expect(error.description.contains("another thread of this process"), "\(error)")
        withExtendedLifetime(held) {}
    }

    @Test(arguments: [
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fd:01:1234 64 64", true),
        ("lock:\t2: OFDLCK ADVISORY  READ -1 00:1a:1234 0 EOF", true),
        ("pos:\t0\nlock:\t1: OFDLCK ADVISORY  WRITE -1 fd:01:1234 60 70\n", true),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fd:01:1234 65 128", false),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fd:01:1234 0 63", false),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fd:01:11234 64 64", false),
        ("lock:\t1: FLOCK  ADVISORY  WRITE 12 fd:01:1234 0 EOF", false),
        ("lock:\t1: OFDLCK", false), ("lock:", false), ("", false),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fd:01:1234 64 x", false),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 1234 99999999999999999999999 EOF", false),
    ])
    func aLineOfTheKernelIsReadAsItIsMeant(_ text: String, _ hasLock: Bool) {
        #expect(LockSearch.hasLock(Array(text.utf8), at: 64, inode: 1234) == hasLock)
    }
}
