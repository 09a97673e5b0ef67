import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Reaping removes what is stale, all of it, and nothing else.
@Suite(.ownThreads) struct ReapTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    private typealias Reason = Store.Reaped.Reason

    private func reasons(_ reaped: [Store.Reaped]) -> [Store.Key: Reason] {
        Dictionary(uniqueKeysWithValues: reaped.map { ($0.key, $0.reason) })
    }

    private static func section(of path: String) -> ClaimSection? {
        contents(of: path).flatMap { $0.withUnsafeBytes { ClaimSection.parse($0)?.section } }
    }

    private func plant(_ claim: ClaimSection) throws {
        let key = Store.Key(try #require(PercentCode.decode(claim.name)))
        mkdir(try neighbour("", of: key, in: path), 0o700)
        write(claim.text, to: try file(of: key, in: path) + ".pending")
    }

    @Test func whatIsNotKnownToLiveIsRemovedOnlyWhenToldSo() throws {
        let store = try Store(at: path)
        _ = try store.claim("elsewhere", for: try #require(try ProcessIdentity(of: getpid())))
        var claim = try #require(Self.section(of: file(of: "elsewhere", in: path) + ".pending"))
        claim.place = Place(
            boot: claim.place.boot, processNamespace: 1, timeNamespace: claim.place.timeNamespace)
        // As old as half the time since boot: no boot clock can show more.
        let age = claim.since.boot / 2
        claim.since = Stamp(wall: claim.since.wall - age, boot: claim.since.boot - age)
        try plant(claim)
        #expect(try store.reap().isEmpty)
        var limits = Store.ReapLimits()
        limits.assumeDeadAfter = .microseconds(age * 2)
        #expect(try store.reap(limits).isEmpty)
        limits.assumeDeadAfter = .microseconds(age / 2)
        #expect(reasons(try store.reap(limits)) == ["elsewhere": .assumedDead])
    }

    // MARK: Eviction

    /// Values last used one after the other: of the number 0 longest ago.
    ///
    /// Returns their files' sizes.
    private func publish(_ count: Int, in store: Store, _ random: inout Seeded) throws -> [Int] {
        var sizes: [Int] = []
        for number in 0..<count {
            let key = Store.Key("key-\(number)")
            let value = pattern(Int.random(in: 0...500, using: &random))
            #expect(try store.claimAndFinalize(key, value).isWon)
            let path = try file(of: key, in: path)
            sizes.append(size(of: path))
            setModified(path, secondsAgo: 100_000 - number)
        }
        return sizes
    }

    private func remaining(_ count: Int, in store: Store) throws -> [Int] {
        try (0..<count).filter {
            access(try file(of: Store.Key("key-\($0)"), in: path), F_OK) == 0
        }
    }

    @Test func theLeastRecentlyUsedGoUntilTheNumberIsKept() throws {
        var random = Seeded("eviction by number")
        let store = try Store(at: path)
        _ = try publish(60, in: store, &random)
        // Read again, these are no longer the least recently used.
        for number in [0, 7, 39] {
            #expect(try store.entry(for: Store.Key("key-\(number)")) != nil)
        }
        var limits = Store.ReapLimits()
        limits.maxEntries = 20
        let expected = Array(Set(0..<43).subtracting([0, 7, 39])).sorted()
        let planned = try store.reap(limits, dryRun: true)
        #expect(Set(planned.map(\.key)) == Set(expected.map { Store.Key("key-\($0)") }))
        #expect(try remaining(60, in: store).count == 60)
        let evicted = try store.reap(limits)
        #expect(evicted.allSatisfy { $0.reason == .evicted })
        #expect(Set(evicted.map(\.key)) == Set(planned.map(\.key)))
        #expect(try remaining(60, in: store) == [0, 7, 39] + Array(43..<60))
        #expect(try store.reap(limits).isEmpty)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    @Test func theLeastRecentlyUsedGoUntilTheSizeIsKept() throws {
        var random = Seeded("eviction by size")
        let store = try Store(at: path)
        let sizes = try publish(60, in: store, &random)
        for share in [0.9, 0.5, 0.1] {
            var limits = Store.ReapLimits()
            limits.maxBytes = Int(Double(sizes.reduce(0, +)) * share)
            var first = 0
            while sizes[first...].reduce(0, +) > limits.maxBytes ?? 0 { first += 1 }
            try store.reap(limits)
            #expect(try remaining(60, in: store) == Array(first..<60))
            #expect(Tally(try store.counts()) == Tally(filesOf: path))
        }
    }

    /// Files made within one tick of the kernel's clock have the same time.
    @Test(arguments: [1, 2, 4])
    func ofValuesUsedAtTheSameTimeNoMoreGoThanMust(reapers: Int) throws {
        for _ in 0..<(wantsLongTests ? 50 : 5) {
            let store = try Store(at: path)
            for number in 0..<100 {
                let key = Store.Key("key-\(number)")
                _ = try store.claimAndFinalize(key, [])
                setModified(try file(of: key, in: path), secondsAgo: 1000)
            }
            let barrier = Barrier(reapers)
            let evicted = inThreads(reapers) { _ -> Int in
                var limits = Store.ReapLimits()
                limits.maxEntries = 50
                guard let store = try? Store(at: path) else { return -1 }
                barrier.wait()
                return (try? store.reap(limits).count) ?? -1
            }
            #expect(evicted.reduce(0, +) == 50, "\(evicted)")
            #expect(try store.counts().ready == 50)
            for number in 0..<100 { try store.remove(Store.Key("key-\(number)")) }
        }
    }

    @Test func aValueThatIsComputedAnewIsNotEvicted() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", "old".utf8).isWon)
        let claim = try #require(try store.win("key", maxAge: .zero))
        var limits = Store.ReapLimits()
        limits.maxEntries = 0
        limits.maxAge = .zero
        #expect(try store.reap(limits).isEmpty)
        #expect(try store.bytes(of: "key") == Array("old".utf8))
        try claim.finalize("new".utf8)
        #expect(try store.reap(limits).count == 1)
        #expect(try store.bytes(of: "key") == nil)
    }

    @Test func valuesThatAreTooOldGo() throws {
        let store = try Store(at: path)
        for hours in 0..<5 { try publish(Store.Key("key-\(hours)"), hoursAgo: hours, in: store) }
        write([], to: path + "/locks/shards")
        var limits = Store.ReapLimits()
        limits.maxAge = .seconds(9000)
        let expected: [Store.Key: Reason] = ["key-3": .tooOld, "key-4": .tooOld]
        #expect(reasons(try store.reap(limits, dryRun: true)) == expected)
        #expect(reasons(try store.reap(limits)) == expected)
        #expect(try remaining(5, in: store) == [0, 1, 2])
        #expect(try store.entry(for: "key-2", maxAge: .seconds(3600)) == nil)
        #expect(try store.entry(for: "key-2", maxAge: .seconds(9000)) != nil)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    /// Publishes a value as if that long ago.
    private func publish(_ key: Store.Key, hoursAgo: Int, in store: Store) throws {
        #expect(try store.claimAndFinalize(key, []).isWon)
        let path = try file(of: key, in: path)
        let claim = try #require(Self.section(of: path)).text
        let section = ValueSection(
            finalized: WallClock.microseconds - Int64(hoursAgo) * 3_600_000_000, payloadLength: 0)
        write(claim + section.head(behind: claim, payload: Checksum()), to: path)
    }
}
