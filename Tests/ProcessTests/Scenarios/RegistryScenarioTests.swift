import Synchronization
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// System B: registries that the workers of one program share, so all of it goes by the library.
///
/// Each test is a row of docs/reference/scenarios.md.
@Suite(.ownThreads) struct RegistryScenarioTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// Has so many workers begin at once; what they throw ends the test.
    private func workers<R: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Int) throws -> R
    ) throws -> [R] {
        let barrier = Barrier(count)
        let results = inThreads(count) { number in
            barrier.wait()
            return Result { try body(number) }
        }
        return try results.map { try $0.get() }
    }

    @Test func b1TwentyWorkersRegisterTenToolsEach() throws {
        let store = try Store(at: path)
        let won = try workers(20) { worker in
            try (0..<10).count { tool in
                // Every second tool is one that the neighbour registers too.
                let name =
                    tool % 2 == 0 ? "tool-\(worker)-\(tool)" : "tool-\(worker / 2)-both-\(tool)"
                return try store.claimAndFinalize(Store.Key(name), "by \(worker)".utf8).isWon
            }
        }
        #expect(won.reduce(0, +) == 150 && won.allSatisfy { $0 >= 5 })
        #expect(try store.counts().ready == 150)
        // Registered with names of their own, there are 200.
        try store.reap(limits(0))
        let all = try workers(20) { worker in
            try (0..<10).count {
                try store.claimAndFinalize(Store.Key("\(worker)-\($0)"), "spec".utf8).isWon
            }
        }
        #expect(all == Array(repeating: 10, count: 20))
        #expect(try store.counts().ready == 200)
    }

    private func limits(_ entries: Int) -> Store.ReapLimits {
        var limits = Store.ReapLimits()
        limits.maxEntries = entries
        return limits
    }

    /// Readers never see a half-registered tool; clearing while others read is safe.
    @Test func b2WorkersRegisterDeregisterAndRead() throws {
        let store = try Store(at: path)
        let spec = pattern(10_000)
        let half = Atomic<Int>(0)
        _ = try workers(100) { worker in
            for round in 0..<20 {
                let key = Store.Key("tool-\((worker + round) % 30)")
                switch worker % 10 {
                case 0..<4: _ = try store.claimAndFinalize(key, spec)
                case 4..<6: try store.remove(key)
                default:
                    if let found = try store.bytes(of: key), found != spec {
                        half.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        #expect(half.load(ordering: .relaxed) == 0)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        _ = try workers(11) { worker in
            if worker == 0 { return try { _ = try store.reap(self.limits(0)) }() }
            for number in 0..<30 {
                if let found = try store.bytes(of: Store.Key("tool-\(number)")), found != spec {
                    half.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(half.load(ordering: .relaxed) == 0)
        #expect(try store.counts().ready == 0)
    }

    @Test func b3FiftyWorkersCreateOneSingleton() throws {
        let store = try Store(at: path)
        let made = Counter()
        let values = try workers(50) { worker in
            try store.computeIfAbsent("singleton") {
                made.add(1)
                return "\(worker)".utf8
            }.copied
        }
        #expect(made.value == 1 && Set(values).count == 1)
    }

    @Test func b4OneSkillIsActiveAtATime() throws {
        let store = try Store(at: path)
        let active = Atomic<Int>(0)
        let overlaps = Counter()
        _ = try workers(20) { _ in
            for _ in 0..<20 {
                try store.withLock("skill") {
                    if active.add(1, ordering: .sequentiallyConsistent).newValue != 1 {
                        overlaps.add(1)
                    }
                    yieldToOthers()
                    active.subtract(1, ordering: .sequentiallyConsistent)
                }
            }
        }
        #expect(overlaps.value == 0)
    }

    @Test func b5ACacheWithASizeLimit() throws {
        let store = try Store(at: path)
        let value = pattern(100_000)
        var limits = Store.ReapLimits()
        limits.maxBytes = 1 << 20
        let limit = limits
        _ = try workers(20) { worker in
            for number in 0..<5 {
                _ = try store.claimAndFinalize(Store.Key("web-\(worker)-\(number)"), value)
                try store.reap(limit)
            }
        }
        let counts = try store.counts()
        #expect(counts.bytes <= 1 << 20 && counts.ready == 10, "\(counts)")
        #expect(Tally(counts) == Tally(filesOf: path))
        // The least recently used go first.
        try store.reap(self.limits(0))
        for number in 0..<4 {
            _ = try store.claimAndFinalize(Store.Key("\(number)"), value)
            setModified(try file(of: Store.Key("\(number)"), in: path), secondsAgo: 1000 - number)
        }
        _ = try store.entry(for: "0")
        try store.reap(self.limits(2))
        #expect(try store.bytes(of: "0") != nil && store.bytes(of: "3") != nil)
    }

    @Test func b6FiftyWorkersDoAThousandRandomThings() throws {
        let store = try Store(at: path)
        var seeds = Seeded("B6")
        let seed = seeds.next()
        _ = try workers(50) { worker in
            var random = Seeded(seed: seed &+ UInt64(worker))
            for _ in 0..<20 {
                let key = Store.Key("key-\(Int.random(in: 0..<20, using: &random))")
                switch Int.random(in: 0..<6, using: &random) {
                case 0, 1: _ = try store.claimAndFinalize(key, pattern(100))
                case 2: try store.win(key)?.abandon()
                case 3: try store.remove(key)
                case 4: _ = try store.entry(for: key)
                default: _ = try store.reap(self.limits(15))
                }
            }
        }
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(try store.counts().pending == 0 && leftovers(in: path).isEmpty)
    }
}
