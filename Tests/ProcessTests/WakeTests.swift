import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Whoever ends a claim wakes those who wait for it; they do not find out by their next look, which comes
/// 75 to 95 ms after the last.
@Suite(.ownThreads) struct WakeTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// Has two threads wait, ends the claim when they sleep, and returns how many milliseconds later
    /// each of them knew.
    private func delays(
        rounds: Int = 20, stale: Bool = false, while asleep: () -> Void = {},
        ending: (Store, Store.Key, Kept?) throws -> Void, expecting: (Waited) -> Bool
    ) throws -> [Double] {
        let store = try Store(at: path)
        // Another session, as of another process: nothing passes between the two but the board.
        let other = try Store(at: path)
        var delays: [Double] = []
        for round in 0..<rounds {
            let key = Store.Key("round-\(round)")
            var kept: Kept?
            if stale { leaveStaleClaim(key, in: path) } else { kept = try other.win(key) }
            let waiters = (0..<2).map { _ in store.waitInThread(key) }
            for waiter in waiters { #expect(waiter.waitForSleep()) }
            asleep()
            let begin = BootTime.now
            try ending(other, key, kept)
            for waiter in waiters {
                let waited = try waiter.result()
                #expect(expecting(waited), "\(waited)")
                delays.append(begin.milliseconds(to: waiter.ended))
            }
        }
        print("\(Test.current?.name ?? ""): median \(median(delays)) ms, \(delays.max() ?? 0) ms")
        return delays
    }

    @Test func finalizingWakes() throws {
        let delays = try delays { _, _, kept in
            try kept?.finalize("value".utf8)
        } expecting: {
            $0 == .ready(Array("value".utf8))
        }
        #expect(median(delays) < 20)
    }

    @Test func abandoningWakes() throws {
        let delays = try delays { _, _, kept in
            try kept?.abandon()
        } expecting: {
            $0 == .absent
        }
        #expect(median(delays) < 20)
    }

    @Test func removingAClaimWakes() throws {
        let delays = try delays { other, key, _ in
            let isRemoved = try other.remove(key, includingPending: true)
            #expect(isRemoved)
        } expecting: {
            $0 == .absent
        }
        #expect(median(delays) < 20)
    }

    @Test func reapingAStaleClaimWakes() throws {
        let delays = try delays(rounds: 10, stale: true) { other, _, _ in
            let reaped = try other.reap()
            #expect(reaped.count == 1)
        } expecting: {
            $0 == .absent
        }
        #expect(median(delays) < 20)
    }

    /// That the others here do not come to pass by themselves: where the board says that nobody waits,
    /// nobody is woken, and those who wait find out by their next look.
    @Test func withoutAWakeTheNextLookFinds() throws {
        let delays = try delays {
            let board = open(path + "/board", O_RDWR)
            defer { close(board) }
            let zeros = [UInt8](repeating: 0, count: 8)
            for shard in 0..<256 { pwrite(board, zeros, 8, 4096 + 64 * shard + 8) }
        } ending: { _, _, kept in
            try kept?.finalize("value".utf8)
        } expecting: {
            $0 == .ready(Array("value".utf8))
        }
        #expect(median(delays) > 20)
    }

    /// As for a waker that opened the store while the board was another.
    @Test func withoutABoardTheNextLookFinds() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("other", []).isWon)
        mkdir(path + "/board", 0o700)
        let delays = try delays(rounds: 5) { _, _, kept in
            try kept?.finalize("value".utf8)
        } expecting: {
            $0 == .ready(Array("value".utf8))
        }
        #expect(delays.count == 10)
        #expect(names(in: path + "/board").isEmpty)
    }

    /// 32 keys of one shard: what happens to one wakes those who wait for it, and few others.
    @Test func fewWhoWaitForOtherKeysAreWoken() throws {
        let store = try Store(at: path)
        let keys = keys(33, inShard: 7)
        let bits = try keys.map { try EntryName($0).wakeBits }
        // Of a key whose bit no other has.
        let busy = try #require(bits.indices.first { bit in bits.count { $0 == bits[bit] } == 1 })
        let others = keys.indices.filter { $0 != busy }
        let kept = try others.map { try store.win(keys[$0]) }
        let waiters = others.map { store.waitInThread(keys[$0]) }
        for waiter in waiters { #expect(waiter.waitForSleep()) }
        let before = waiters.map(\.count)
        let begin = BootTime.now
        // One each 75 ms, and another where the word changed between a look and the sleep.
        func most() -> Int { Int(begin.milliseconds() / 75) * 3 + 10 }
        var changes = 0
        while begin.milliseconds() < 200 || changes <= 10 * most(), changes < 100_000 {
            #expect(try store.claimAndFinalize(keys[busy], [UInt8]()).isWon)
            #expect(try store.remove(keys[busy]))
            changes += 2
            // A rate: where the word changes during each look, each look is followed by another, as it must.
            usleep(1000)
        }
        let looks = zip(waiters, before).map { $0.count - $1 }
        let most = most()
        print("\(changes) changes, looks of those who wait for other keys: \(looks)")
        #expect(changes > 10 * most && looks.allSatisfy { $0 <= most })
        for claim in kept { try claim?.abandon() }
        for waiter in waiters { #expect(try waiter.result() == .absent) }
    }

    /// Whoever waits for a shard's mutex says so on the board, and is called when it is free.
    @Test func releasingAMutexCallsWhoWaitsForIt() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", []).isWon)
        let (mine, other) = (try store.session.forWriting(), try Store(at: path))
        let board = try #require(mine.board.forWaiting())
        let shard = try EntryName("key").shard
        for _ in 0..<20 {
            let held = try HeldShard(mine, shard)
            let thread = WaitingThread { _ in try other.remove("key") }
            #expect(waitUntil { stamp(offset: 4096 + 64 * shard + 24) > BootTime.now })
            let before = board.look(.mutex(shard))
            _ = consume held
            // Or one more, by then: the other is called too when it releases the mutex.
            #expect(board.look(.mutex(shard)) != before)
            _ = try thread.result()
            #expect(waitUntil { stamp(offset: 4096 + 64 * shard + 24) < BootTime.now })
        }
    }

    /// It opens the store and the board for itself, and what threads of its parent wait for is theirs.
    @Test func aForkedChildIsWokenToo() throws {
        let (store, peer) = (try Store(at: path), PeerProcess(path))
        var delays: [Double] = []
        for round in 0..<10 {
            let kept = try store.win(Store.Key("key-\(round)"))
            peer.process.tell("fork-wait key-\(round)")
            for _ in 0..<3 { #expect(peer.process.line() == "waiting") }
            let begin = BootTime.now
            try kept?.finalize("value".utf8)
            var who: [String] = []
            for _ in 0..<3 {
                let words = (peer.process.line() ?? "").split(separator: " ").map(String.init)
                #expect(words.count == 3 && words[1] == "value", "\(words)")
                who.append(words.first ?? "")
                let end = BootTime(nanoseconds: words.last.flatMap { Int64($0) } ?? .max)
                delays.append(begin.milliseconds(to: end))
            }
            #expect(who.sorted() == ["child", "thread", "thread"])
            #expect(peer.process.line() == "0")
        }
        print("a forked child and threads woken: median \(median(delays)) ms")
        #expect(median(delays) < 20)
    }

    private func stamp(offset: Int) -> BootTime {
        let board = open(path + "/board", O_RDONLY)
        defer { close(board) }
        var time: Int64 = 0
        pread(board, &time, 8, offset)
        return BootTime(nanoseconds: time)
    }
}
