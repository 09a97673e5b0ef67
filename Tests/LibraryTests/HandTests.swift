import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Counts where files came and went beside this program.
@Suite(.ownThreads) struct HandTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    /// Keys of which each shard of a few has some, published; and a claim for each third.
    private func populate(_ store: Store, _ count: Int = 60) throws -> [Kept] {
        var kept: [Kept] = []
        for number in 0..<count {
            let key = Store.Key("key-\(number)")
            let claim = try #require(try store.win(key))
            if number % 3 == 0 { kept.append(claim) } else { try claim.finalize(pattern(number)) }
        }
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        return kept
    }

    /// The clock that a directory's time is of ticks every few milliseconds; what is done by hand is a tick later
    /// than what the program did.
    private func waitForATick() {
        let probe = directory("probe")
        func changed() -> Int {
            write([], to: probe)
            unlink(probe)
            var status = stat()
            stat(directory.path, &status)
            return status.st_ctim.tv_sec * 1_000_000_000 + status.st_ctim.tv_nsec
        }
        let start = changed()
        while changed() == start {}
    }

    private func files(_ isWanted: (String) -> Bool) -> [String] {
        names(in: path + "/entries").flatMap { shard in
            names(in: "\(path)/entries/\(shard)").filter(isWanted).map {
                "\(path)/entries/\(shard)/\($0)"
            }
        }
    }

    private func check(_ store: Store, _ what: String) throws {
        let counts = try Store(at: path).counts()
        #expect(Tally(counts) == Tally(filesOf: path), "\(what), opened anew")
        #expect(Tally(try store.counts()) == Tally(filesOf: path), "\(what), open before")
        #expect(counts.isExact)
    }

    @Test func whatIsRemovedByHandIsNotCounted() throws {
        let store = try Store(at: path)
        let kept = try populate(store)
        waitForATick()
        for file in files({ !$0.hasSuffix(".pending") }).prefix(10) { unlink(file) }
        unlink(files { $0.hasSuffix(".pending") }[0])
        try check(store, "removed")
        waitForATick()
        for shard in names(in: path + "/entries").prefix(3) {
            removeTree("\(path)/entries/\(shard)")
        }
        try check(store, "directories removed")
        // Those whose files are gone are lost.
        kept.forEach { try? $0.abandon() }
        try check(store, "abandoned")
    }

    @Test func whatIsAddedByHandIsCounted() throws {
        let store = try Store(at: path)
        let kept = try populate(store)
        let other = try Store(at: directory("other"))
        for number in 100..<140 {
            #expect(try other.claimAndFinalize(Store.Key("key-\(number)"), pattern(9)).isWon)
        }
        waitForATick()
        // As from a backup: with the times of the directories as they were.
        #expect(
            run("cp", ["-a", directory("other/entries"), path]).code == 0)
        try check(store, "added")
        try kept.forEach { try $0.abandon() }
        try check(store, "abandoned")
    }

    /// Changes that follow those by hand do not hide them.
    @Test func changesAfterThoseByHandDoNotHideThem() throws {
        let store = try Store(at: path)
        let kept = try populate(store)
        waitForATick()
        for file in files({ !$0.hasSuffix(".pending") }).prefix(20) { unlink(file) }
        for number in 0..<500 {
            _ = try store.claimAndFinalize(Store.Key("later-\(number)"), [])
        }
        try kept.forEach { try $0.abandon() }
        #expect(try store.reap().isEmpty)
        try check(store, "changed afterwards")
    }

    /// After a reap, not only after a look at the counts, the blocks themselves are right again.
    @Test(arguments: [nil, 1000])
    func reapingMendsTheCounts(maxEntries: Int?) throws {
        let store = try Store(at: path)
        let kept = try populate(store)
        waitForATick()
        for file in files({ !$0.hasSuffix(".pending") }).prefix(7) { unlink(file) }
        var limits = Store.ReapLimits()
        limits.maxEntries = maxEntries
        #expect(try store.reap(limits).isEmpty)
        let opened = try store.session.forWriting()
        let blocks = try opened.shards.file().readAll()
        let sum = blocks.reduce(into: ShardCounts()) { $0.add($1?.counts ?? ShardCounts()) }
        let files = StoreFiles(path)
        #expect([sum.pending, sum.ready, sum.bytes] == [files.pending, files.ready, files.bytes])
        #expect(try opened.shards.doubtfulShards(blocks).allSatisfy { !$0 })
        try kept.forEach { try $0.abandon() }
    }

    /// That changes no directory, and is damage; with what size it was counted nobody knows when it goes.
    @Test(arguments: [0, 1 << 20])
    func whatWasChangedInPlaceIsCountedAnewWhenItGoes(size: Int) throws {
        let store = try Store(at: path)
        let keys = keys(4, inShard: 7)
        for key in keys { #expect(try store.claimAndFinalize(key, pattern(100)).isWon) }
        for key in keys[..<2] { truncate(try file(of: key, in: path), off_t(size)) }
        #expect(try store.remove(keys[0]))
        try check(store, "removed")
        truncate(try file(of: keys[1], in: path), off_t(size + 1))
        setModified(try file(of: keys[1], in: path), secondsAgo: 1000)
        var limits = Store.ReapLimits()
        limits.maxEntries = 2
        #expect(try store.reap(limits).map(\.key) == [keys[1]])
        try check(store, "evicted")
    }

    // MARK: A copy by hard links

    @Test func aCopyByHardLinksAndItsOriginalAreCountedEachForItself() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("keep", "value".utf8).isWon)
        let child = Child("sleep", ["1000"])
        let process = try #require(try ProcessIdentity(of: child.id))
        _ = try store.claim("stale", for: process)
        child.kill(SIGKILL)
        _ = child.wait()
        let copy = directory("copy")
        #expect(run("cp", ["-al", path, copy]).code == 0)
        let copied = try Store(at: copy)
        #expect(try copied.session.remove("stale", includingPending: true).isRemoved)
        for number in 0..<300 {
            #expect(try copied.claimAndFinalize(Store.Key("n\(number)"), pattern(number)).isWon)
        }
        for _ in 0..<2 {
            #expect(Tally(try store.counts()) == Tally(filesOf: path))
            #expect(Tally(try copied.counts()) == Tally(filesOf: copy))
        }
        #expect(try store.counts().pending == 1)
        #expect(try copied.reap().isEmpty)
        #expect(try store.reap().map(\.reason) == [.deadProcess])
        #expect(try store.counts().pending == 0)
        #expect(try copied.counts().ready == 301)
    }

    /// Both have one file for the claim; a value that was appended to it would be cut off by the other.
    @Test(arguments: [5, 5000, 100_000])
    func bothFinalizeTheClaimTheyShare(size: Int) throws {
        let store = try Store(at: path)
        let claim = try #require(try store.win("key"))
        let copy = directory("copy")
        #expect(run("cp", ["-al", path, copy]).code == 0)
        let copied = try Store(at: copy)
        func finalize(_ store: Store, _ seed: Int) throws {
            try pattern(size, seed).withUnsafeBytes { bytes in
                _ = try store.session.finalize(
                    "key", by: .generation(claim.generation), .bytes(bytes))
            }
        }
        try finalize(copied, 1)
        try finalize(store, 2)
        #expect(try copied.bytes(of: "key") == pattern(size, 1))
        #expect(try store.bytes(of: "key") == pattern(size, 2))
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(Tally(try copied.counts()) == Tally(filesOf: copy))
        try claim.abandon()
    }
}

extension RemoveOutcome {
    fileprivate var isRemoved: Bool { if case .removed = self { true } else { false } }
}

/// What goes first where room is needed.
@Suite(.ownThreads) struct EvictionTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    private func publish(_ name: String, _ size: Int, _ secondsAgo: Int, in store: Store) throws {
        #expect(try store.claimAndFinalize(Store.Key(name), pattern(size)).isWon)
        setModified(try file(of: Store.Key(name), in: path), secondsAgo: secondsAgo)
    }

    private func evict(_ store: Store, bytes: Int? = nil, entries: Int? = nil) throws -> Set<String>
    {
        var limits = Store.ReapLimits()
        (limits.maxBytes, limits.maxEntries) = (bytes, entries)
        let planned = try store.reap(limits, dryRun: true)
        let evicted = try store.reap(limits)
        #expect(Set(planned.map(\.key)) == Set(evicted.map(\.key)))
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        return Set(evicted.map { "\($0.key)" })
    }

    @Test func whatCanNeverFitGoesAndTheOthersStay() throws {
        let store = try Store(at: path)
        for number in 0..<5 { try publish("small-\(number)", 100, 1000 - number, in: store) }
        // The most recently used of all, and the least.
        try publish("huge", 500_000, 1, in: store)
        try publish("older", 200_000, 9000, in: store)
        #expect(try evict(store, bytes: 100 << 10) == ["huge", "older"])
        #expect(try store.counts().ready == 5)
        #expect(try evict(store, bytes: 100 << 10) == [])
        // Then the least recently used, as ever.
        #expect(try evict(store, bytes: 100 << 10, entries: 3) == ["small-0", "small-1"])
        #expect(try evict(store, bytes: 0) == ["small-2", "small-3", "small-4"])
    }

    @Test func whatFitsByItselfIsOneOfTheOthers() throws {
        let store = try Store(at: path)
        try publish("first", 60_000, 300, in: store)
        try publish("second", 60_000, 200, in: store)
        try publish("third", 60_000, 100, in: store)
        #expect(try evict(store, bytes: 130_000) == ["first"])
        #expect(try evict(store, bytes: 61_000) == ["second"])
    }

    /// The rule told once more in a few lines, and random stores.
    @Test func randomStoresAreEvictedByTheRule() throws {
        var random = Seeded("eviction by the rule")
        for _ in 0..<(wantsLongTests ? 60 : 8) {
            removeTree(path)
            let store = try Store(at: path)
            let count = Int.random(in: 1...20, using: &random)
            for number in 0..<count {
                let size = [0, 10, 1000, 50_000].randomElement(using: &random) ?? 0
                try publish("k\(number)", size, 5000 - number, in: store)
            }
            let sizes = try (0..<count).map {
                size(of: try file(of: Store.Key("k\($0)"), in: path))
            }
            let most = Int.random(in: 0...(sizes.reduce(0, +) + 10), using: &random)
            let entries = Int.random(in: 0...(count + 1), using: &random)
            var left = (0..<count).filter { sizes[$0] <= most }
            while left.count > entries || left.reduce(0, { $0 + sizes[$1] }) > most {
                left.removeFirst()
            }
            let gone = Set(0..<count).subtracting(left).map { "k\($0)" }
            #expect(try evict(store, bytes: most, entries: entries) == Set(gone))
        }
    }
}

/// What the library says of a store of which a part cannot be looked at.
@Suite(.ownThreads) struct LibraryPassTests {
    @Test func whatWasDoneIsToldAndThenTheFirstFailureIsThrown() throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let told = Told()
        var configuration = Store.Configuration()
        configuration.onPassedOver = { told.add($0) }
        let store = try Store(at: path, configuration: configuration)
        for number in 0..<20 {
            #expect(try store.claimAndFinalize(Store.Key("key-\(number)"), []).isWon)
        }
        let shards = Set(names(in: path + "/entries"))
        let free = try #require(
            (0..<Layout.shardCount).lazy
                .map { String(decoding: Layout.shard($0).bytes, as: UTF8.self) }
                .first { !shards.contains($0) })
        let planted = "\(path)/entries/\(free)"
        write("no directory".utf8, to: planted)

        let counts = try store.counts()
        #expect(counts.ready == 20 && !counts.isExact)
        var entries = try store.entries()
        var listed = 0
        let failure = storeError { while try entries.next() != nil { listed += 1 } }
        #expect(listed == 20)
        #expect(failure?.code == .notAStore && failure?.path == planted)
        #expect(try entries.next() == nil, "thrown once")
        var limits = Store.ReapLimits()
        limits.maxEntries = 5
        var removed: [Store.Key] = []
        let reaping = storeError { try store.reap(limits) { removed.append($0.key) } }
        #expect(Set(removed).count == 15)
        #expect(reaping?.code == .notAStore && reaping?.path == planted)
        #expect(told.errors.count == 3 && told.errors.allSatisfy { $0.path == planted })
        #expect(storeError { try store.reap() }?.path == planted)

        unlink(planted)
        #expect(try store.reap().isEmpty)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    private final class Told: @unchecked Sendable {
        // Called on the thread that makes the pass, which is the test's.
        private(set) var errors: [StoreError] = []

        func add(_ error: StoreError) { errors.append(error) }
    }
}
