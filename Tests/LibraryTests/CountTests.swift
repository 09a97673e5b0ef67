import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Counts are exact whatever became of the file that keeps them.
@Suite(.ownThreads) struct CountTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    /// A store with values, claims of the living and the dead, values being computed anew, and what
    /// killed processes leave.
    private func populate() throws -> (store: Store, claims: [Kept]) {
        let store = try Store(at: path)
        var claims: [Kept] = []
        for number in 0..<60 {
            let key = Store.Key("key-\(number)")
            let claim = try #require(try store.win(key))
            if number % 3 == 0 {
                claims.append(claim)
            } else {
                try claim.finalize(pattern(number * 10))
                if number % 5 == 0 {
                    claims.append(try #require(try store.win(key, maxAge: .zero)))
                }
            }
        }
        // Torn, debris of a finalize, and a record being written: beside the library's back, so the
        // shards' blocks must go too.
        let torn = try file(of: "key-0", in: path)
        write([], to: torn + ".pending")
        let record = try #require(contents(of: file(of: "key-1", in: path)))
        write(record.prefix(while: { $0 != 0 }), to: try file(of: "key-1", in: path) + ".pending")
        write([], to: try neighbour(".tmp-00000000000000ff-1", of: "key-2", in: path))
        overwriteShards { _ in [] }
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(StoreFiles(path).pending >= 20)
        #expect(StoreFiles(path).temporaries == 1)
        return (store, claims)
    }

    private func overwriteShards(_ change: ([UInt8]) -> [UInt8]) {
        let file = path + "/locks/shards"
        let changed = change(contents(of: file) ?? [])
        // In place: it is open elsewhere, and stays the same file.
        let number = open(file, O_WRONLY | O_TRUNC)
        defer { close(number) }
        #expect(number >= 0 && Glibc.write(number, changed, changed.count) == changed.count)
    }

    /// The library's counts, by a session that has the store open and by a new one, against the files'.
    private func check(_ store: Store, _ what: String) throws {
        #expect(Tally(try store.counts()) == Tally(filesOf: path), "\(what), open before")
        #expect(Tally(try Store(at: path).counts()) == Tally(filesOf: path), "\(what), opened anew")
        let key = Store.Key("after \(what)")
        #expect(try store.claimAndFinalize(key, "value".utf8).isWon)
        #expect(Tally(try store.counts()) == Tally(filesOf: path), "\(what), after a change")
        #expect(Tally(try Store(at: path).counts()) == Tally(filesOf: path), "\(what), once more")
    }

    @Test func countsOfACopyAreThoseOfTheCopy() throws {
        let (store, claims) = try populate()
        let copy = directory("copy")
        #expect(run("cp", ["-a", path, copy]).code == 0)
        // The copy's counts are its own from then on.
        #expect(try store.claimAndFinalize("only in the original", pattern(100)).isWon)
        let copied = try Store(at: copy)
        #expect(Tally(try copied.counts()) == Tally(filesOf: copy))
        #expect(try copied.claimAndFinalize("only in the copy", []).isWon)
        #expect(Tally(try Store(at: copy).counts()) == Tally(filesOf: copy))
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        // Nobody holds a claim there: its session has no lock on the copy's files.
        #expect(try copied.claimAndFinalize("key-3", []).isWon)
        #expect(try store.claimAndFinalize("key-3", []) == .pending)
        try claims.forEach { try $0.abandon() }
    }

    @Test func aFileWithTheHeaderOfAnotherIsCountedAnew() throws {
        let (_, claims) = try populate()
        overwriteShards { bytes in
            let header = Array("flock-cache shards 1 1 2".utf8)
            return header + [UInt8](repeating: 32, count: 63 - header.count) + [10] + bytes[64...]
        }
        // Wrong counts in a block that is whole: only the header tells that they are another's.
        try changeBlocks { $0.counts.ready += 7 }
        let store = try Store(at: path)
        try check(store, "another header")
        try claims.forEach { try $0.abandon() }
    }

    @Test func blocksOfAnotherBootAreCountedAnew() throws {
        let (store, claims) = try populate()
        let highest = try blocks().map { $0?.highest ?? 0 }
        try changeBlocks { block in
            block.boot = BootID(high: block.boot.high ^ 1, low: block.boot.low)
            block.counts.pending += 5
        }
        try check(store, "another boot")
        for (before, after) in zip(highest, try blocks()) {
            #expect((after?.highest ?? 0) >= before, "generations rise across boots")
        }
        try claims.forEach { try $0.abandon() }
    }

    @Test(arguments: [0, 10, 64, 100, 6400, 16447])
    func aTruncatedFileIsCountedAnew(size: Int) throws {
        let (store, claims) = try populate()
        overwriteShards { Array($0.prefix(size)) }
        try check(store, "cut to \(size)")
        try claims.forEach { try $0.abandon() }
    }

    @Test func randomBytesInTheFileAreCountedAnew() throws {
        var random = Seeded("random bytes in locks/shards")
        let (store, claims) = try populate()
        for round in 0..<(wantsLongTests ? 200 : 20) {
            overwriteShards { bytes in
                var bytes = bytes
                let isWhole = round % 2 == 0
                for index in bytes.indices
                where isWhole || Int.random(in: 0..<200, using: &random) == 0 {
                    bytes[index] = .random(in: 0...255, using: &random)
                }
                return bytes
            }
            try check(store, "round \(round)")
        }
        try claims.forEach { try $0.abandon() }
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    @Test func generationsRiseWhenTheClockIsBehindAndTheEntryIsGone() throws {
        let store = try Store(at: path)
        let first = try #require(try store.win("key")).generation
        // As if the clock had been set back by an hour since.
        let ahead = first + 3_600_000_000
        try changeBlocks { $0.highest = max($0.highest, ahead) }
        let second = try #require(try store.win("key"))
        #expect(second.generation > ahead)
        try second.abandon()
        try changeBlocks { $0.boot = .none }
        let third = try #require(try store.win("key"))
        #expect(third.generation > second.generation)
    }

    @Test func countsAreExactWhileEverybodyChangesThings() throws {
        let store = try Store(at: path)
        let results = inThreads(4) { index -> [String] in
            guard let store = try? Store(at: path) else { return ["cannot open"] }
            var wrong: [String] = []
            for number in 0..<300 {
                let key = Store.Key("key-\(index)-\(number % 40)")
                do {
                    switch number % 4 {
                    case 0, 1: _ = try store.claimAndFinalize(key, pattern(number))
                    case 2: try store.remove(key)
                    default: _ = try store.win(key)
                    }
                    let counts = try store.counts()
                    // Each thread has 40 keys; none is counted twice, and nothing below zero.
                    if counts.ready > 160 || counts.ready < 0 || counts.pending > 4 {
                        wrong.append("\(Tally(counts))")
                    }
                } catch {
                    wrong.append("\(error)")
                }
            }
            return wrong
        }
        #expect(results.flatMap { $0 } == [])
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    // MARK: Blocks, past the library

    private func blocks() throws -> [ShardBlock?] {
        let bytes = try #require(contents(of: path + "/locks/shards"))
        return (0..<Layout.shardCount).map { shard in
            let start = 64 + shard * ShardBlock.byteCount
            guard bytes.count >= start + ShardBlock.byteCount else { return nil }
            return Array(bytes[start..<(start + ShardBlock.byteCount)]).withUnsafeBytes {
                ShardBlock($0)
            }
        }
    }

    private func changeBlocks(_ change: (inout ShardBlock) -> Void) throws {
        let blocks = try blocks()
        overwriteShards { bytes in
            var bytes = bytes
            for (shard, block) in blocks.enumerated() {
                guard var block else { continue }
                change(&block)
                let start = 64 + shard * ShardBlock.byteCount
                bytes[start..<(start + ShardBlock.byteCount)].withUnsafeMutableBytes {
                    block.write(to: $0)
                }
            }
            return bytes
        }
    }
}
