import Synchronization
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Listings, alone and while others change the store.
@Suite(.ownThreads) struct ListTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    private struct Line: Hashable {
        let key: Store.Key
        let isReady: Bool
    }

    private func list(
        _ store: Store, _ filter: Store.Filter = .all, prefix: Store.Key? = nil
    ) throws -> [Line] {
        var lines: [Line] = []
        var entries = try store.entries(filter, prefix: prefix)
        while let entry = try entries.next() {
            if case .ready = entry.state {
                lines.append(Line(key: entry.key, isReady: true))
            } else {
                lines.append(Line(key: entry.key, isReady: false))
            }
        }
        return lines
    }

    @Test func everyKeyThatExistsThroughoutIsListedExactlyOnce() throws {
        let store = try Store(at: path)
        let stable = Set((0..<300).map { Store.Key("stable-\($0)") })
        let claimed = Set((0..<50).map { Store.Key("claimed-\($0)") })
        let renewed = (0..<20).map { Store.Key("renewed-\($0)") }
        for key in stable.union(renewed) { #expect(try store.claimAndFinalize(key, []).isWon) }
        var claims: [Kept] = []
        for key in claimed { claims.append(try #require(try store.win(key))) }
        let isOver = IsOver()
        // Four add and remove, a fifth computes values anew; the sixth lists.
        let results = inThreads(6) { index -> [String] in
            do {
                let store = try Store(at: path)
                switch index {
                case 0..<4:
                    var number = 0
                    while !isOver.value {
                        number += 1
                        let key = Store.Key("coming and going \(index)-\(number % 100)")
                        if try !store.remove(key) { _ = try store.claimAndFinalize(key, []) }
                    }
                case 4:
                    var number = 0
                    while !isOver.value {
                        number += 1
                        let claim = try store.win(renewed[number % 20], maxAge: .zero)
                        try claim?.finalize("\(number)".utf8)
                    }
                default:
                    defer { isOver.set() }
                    return try (0..<(wantsLongTests ? 500 : 20)).flatMap { round in
                        try faults(in: list(store), stable: stable.union(renewed), claimed)
                            .map { "round \(round): \($0)" }
                    }
                }
                return []
            } catch {
                isOver.set()
                return ["\(error)"]
            }
        }
        #expect(results.flatMap { $0 } == [])
        try claims.forEach { try $0.abandon() }
    }

    private func faults(
        in lines: [Line], stable: Set<Store.Key>, _ claimed: Set<Store.Key>
    ) -> [String] {
        var seen: [Line: Int] = [:]
        for line in lines { seen[line, default: 0] += 1 }
        let wanted =
            stable.map { Line(key: $0, isReady: true) }
            + claimed.map { Line(key: $0, isReady: false) }
        let missed = wanted.filter { seen[$0] == nil }.map { "missed \($0)" }
        return missed + seen.filter { $0.value > 1 }.map { "\($0.key) \($0.value) times" }
    }

    @Test func aValueThatIsComputedAnewIsListedAsBoth() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("both", []).isWon)
        let claim = try #require(try store.win("both", maxAge: .zero))
        let claimed = try #require(try store.win("claimed"))
        #expect(try store.claimAndFinalize("ready", []).isWon)
        let (both, ready) = (Line(key: "both", isReady: true), Line(key: "ready", isReady: true))
        let (anew, pending) = (
            Line(key: "both", isReady: false), Line(key: "claimed", isReady: false)
        )
        let all = try list(store)
        #expect(all.count == 4 && Set(all) == [both, anew, ready, pending])
        #expect(all.firstIndex(of: anew) == all.firstIndex(of: both).map { $0 + 1 }, "in a row")
        #expect(Set(try list(store, .ready)) == [both, ready])
        #expect(Set(try list(store, .pending)) == [anew, pending])
        #expect(try list(store, prefix: "cl") == [pending])
        #expect(try list(store, prefix: "none").isEmpty)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(try store.counts().pending == 2)
        try claim.finalize([])
        try claimed.abandon()
        #expect(Set(try list(store)) == [both, ready])
    }

    @Test func aListingTellsWhatIsKnown() throws {
        let store = try Store(at: path)
        let claim = try #require(try store.win("claimed"))
        #expect(try store.claimAndFinalize("ready", pattern(100_000)).isWon)
        var entries = try store.entries()
        var count = 0
        while let entry = try entries.next() {
            count += 1
            switch entry.state {
            case .ready(let size): #expect(size == 100_000)
            case .pending(let holder):
                #expect(holder.liveness == .alive)
                #expect(entry.generation == claim.generation)
            }
            #expect(entry.age >= .zero && entry.age < .seconds(60))
        }
        #expect(count == 2)
    }

    @Test func aStoreThatIsNotThereHasNoEntriesAndIsNotMade() throws {
        let store = try Store(at: path)
        #expect(try list(store).isEmpty)
        #expect(try store.counts() == Store.Counts())
        #expect(try store.entry(for: "key") == nil)
        #expect(try store.reap().isEmpty)
        #expect(names(in: directory.path).isEmpty)
    }
}

private final class IsOver: Sendable {
    private let flag = Atomic<Bool>(false)
    var value: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}
