import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Nobody is inside who must not be, seen in two independent ways; and nobody waits for ever.
@Suite(.ownThreads) struct LockExclusionTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// 200,000 grants in the long form.
    @Test func sixteenProcessesDoNotOverlap() throws {
        var random = Seeded("LockExclusionTests")
        let count = wantsLongTests ? 12_500 : 1_500
        let peers = (0..<16).map { _ in PeerProcess(path) }
        for peer in peers {
            peer.process.tell(
                "lock-storm \(UInt64.random(in: 0...UInt64.max >> 1, using: &random)) \(count) 4 \(directory.path)"
            )
        }
        for peer in peers { #expect(peer.process.line() == "done \(count) 0") }
    }

    /// Two that lock in different stores overlap: what shows the others' exclusion would show its absence.
    @Test func bothDetectorsNotice() throws {
        var random = Seeded("LockExclusionTests, detectors")
        let peers = ["one", "two"].map { PeerProcess(directory($0)) }
        var seen = 0
        // They race for one key; a few thousand rounds overlap many times.
        for _ in 0..<20 where seen < 100 {
            for peer in peers {
                let seed = UInt64.random(in: 0...1 << 40, using: &random)
                peer.process.tell("lock-storm \(seed) 2000 1 \(directory.path)")
            }
            for peer in peers {
                let words = (peer.process.line() ?? "").split(separator: " ")
                seen += words.last.flatMap { Int($0) } ?? 0
            }
        }
        #expect(seen >= 100)
    }

    /// With holders and waiters killed in between: what they held is free, and nothing else is.
    @Test func killingSomeLeavesTheOthersApart() throws {
        var random = Seeded("LockExclusionTests, kills")
        let count = wantsLongTests ? 20_000 : 2_000
        func start() -> PeerProcess {
            let peer = PeerProcess(path)
            // In a directory each: a count in shared memory would keep the killed ones.
            peer.process.tell(
                "lock-subsets \(UInt64.random(in: 0...UInt64.max >> 1, using: &random)) 60000 \(directory.path)/killed"
            )
            return peer
        }
        mkdir(directory.path + "/killed", 0o700)
        let peers = (0..<4).map { _ in PeerProcess(path) }
        for peer in peers {
            peer.process.tell(
                "lock-storm \(UInt64.random(in: 0...1 << 40, using: &random)) \(count) 4 \(directory.path)"
            )
        }
        for _ in 0..<(wantsLongTests ? 100 : 15) {
            let victim = start()
            let pause = UInt32.random(in: 0..<30_000, using: &random)
            usleep(pause)
            victim.kill()
        }
        for peer in peers { #expect(peer.process.line() == "done \(count) 0") }
    }

    /// 30 seconds in the long form.
    @Test func randomSubsetsInRandomOrderDoNotDeadlock() throws {
        var random = Seeded("LockExclusionTests, subsets")
        let milliseconds = wantsLongTests ? 30_000 : 2_000
        let peers = (0..<8).map { _ in PeerProcess(path) }
        for peer in peers {
            let seed = UInt64.random(in: 0...UInt64.max >> 1, using: &random)
            peer.process.tell("lock-subsets \(seed) \(milliseconds) \(directory.path)")
        }
        for peer in peers {
            let words = (peer.process.line() ?? "").split(separator: " ").map(String.init)
            try #require(words.count == 5 && words[0] == "done", "\(words)")
            print("grants \(words[1]), time-outs \(words[2]), longest \(words[4]) ms")
            #expect((Int(words[1]) ?? 0) > 100 && words[3] == "0")
            #expect((Int(words[4]) ?? .max) < 10_000)
        }
        // Nothing is left locked, by the peers, who still run, nor by anybody.
        let keys = (0..<12).map { Store.Key("key-\($0)") }
        #expect(try Store(at: path).tryLock(keys) != nil)
    }

    @Test func threadsDoNotOverlap() throws {
        let store = try Store(at: path)
        let (inside, overlaps) = (Counter(), Counter())
        let counts = inThreads(8) { index in
            var count = 0
            for round in 0..<500 {
                let shared = (index + round) % 3 > 0
                guard
                    let held = try? store.lock(
                        ["key"], mode: shared ? .shared : .exclusive, wait: .upTo(.seconds(60)))
                else { break }
                let weight = shared ? 1 : 1 << 32
                let before = inside.add(weight) - weight
                if shared ? before >= 1 << 32 : before != 0 { overlaps.add(1) }
                inside.add(-weight)
                held.release()
                count += 1
            }
            return count
        }
        #expect(counts == [Int](repeating: 500, count: 8) && overlaps.value == 0)
    }

    /// A pool of 20: 100 threads, never more than 20 inside, no slot twice.
    @Test func slotsBoundHowManyAreInside() throws {
        let store = try Store(at: path)
        let (inside, wrong, most) = (Counter(), Counter(), Counter())
        let places = (0..<20).map { _ in Counter() }
        _ = inThreads(100) { _ in
            for _ in 0..<20 {
                guard
                    let held = try? store.lock(
                        ["pool"], mode: .slots(20), wait: .upTo(.seconds(60))),
                    let slot = held.slot
                else {
                    wrong.add(1)
                    return
                }
                let now = inside.add(1)
                if now > 20 || places[slot].add(1) != 1 { wrong.add(1) }
                if now > most.value { most.add(now - most.value) }
                sched_yield()
                places[slot].add(-1)
                inside.add(-1)
                held.release()
            }
        }
        #expect(wrong.value == 0 && most.value > 1)
    }

    @Test func theKilledGiveTheirSlotsBack() throws {
        let peers = (0..<4).map { _ in PeerProcess(path) }
        let answers = peers.map { $0.ask("lock 4 0 pool") }
        #expect(answers == ["held 0", "held 1", "held 2", "held 3"])
        let store = try Store(at: path)
        #expect(try store.tryLock(["pool"], .slots(4)) == nil)
        peers[2].kill()
        #expect(try store.lock(["pool"], mode: .slots(4), wait: .upTo(.seconds(30))).slot == 2)
    }
}
