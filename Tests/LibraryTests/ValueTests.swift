import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Values come back as they were published, small and large.
@Suite(.ownThreads) struct ValueTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    /// Sizes at which something else happens: one read of 4096 bytes, 64 KiB in memory, pieces of
    /// 256 KiB.
    private static func sizes() throws -> [Int] {
        var random = Seeded("sizes of values")
        let directory = TemporaryDirectory()
        let store = try Store(at: directory("store"))
        #expect(try store.claimAndFinalize("key-0", []).isWon)
        let head = size(of: try file(of: "key-0", in: directory("store")))
        var sizes = Array(0...3)
        for boundary in [4096, 65536, 256 << 10] {
            sizes += (boundary - 2)...(boundary + 2)
            sizes += (boundary - head - 4)...(boundary - head + 4)
            sizes += (0..<10).map { _ in boundary + Int.random(in: -500...500, using: &random) }
        }
        return sizes + [1 << 20]
    }

    @Test func valuesOfAllSizesComeBackAsTheyWere() throws {
        let store = try Store(at: path)
        let other = try Store(at: path)
        for (index, size) in try Self.sizes().enumerated() {
            let value = pattern(size, index)
            switch try store.claim(Store.Key("bytes-\(index)")) {
            case .won(let claim):
                let entry = try claim.finalize(value)
                if entry.value.copied != value { Issue.record("\(size) bytes, as returned") }
            default: Issue.record("a fresh key is won")
            }
            if try other.bytes(of: Store.Key("bytes-\(index)")) != value {
                Issue.record("\(size) bytes")
            }
            write(value, to: directory("file"))
            switch try store.claim(Store.Key("file-\(index)")) {
            case .won(let claim):
                let entry = try claim.finalize(contentsOfFile: directory("file"))
                if entry.value.copied != value {
                    Issue.record("\(size) bytes of a file, as returned")
                }
            default: Issue.record("a fresh key is won")
            }
            if try other.bytes(of: Store.Key("file-\(index)")) != value {
                Issue.record("\(size) bytes of a file")
            }
        }
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(leftovers(in: path).isEmpty)
    }

    @Test func aLargeValueIsMappedAndOutlivesItsEntry() throws {
        let store = try Store(at: path)
        let (small, large) = (pattern(64 << 10), pattern((64 << 10) + 1))
        #expect(try store.claimAndFinalize("small-one", small).isWon)
        #expect(try store.claimAndFinalize("large-one", large).isWon)
        let entries = [
            try #require(try store.entry(for: "small-one")),
            try #require(try store.entry(for: "large-one")),
        ]
        #expect(!Self.isMapped("small-one", in: path))
        #expect(Self.isMapped("large-one", in: path))
        try store.remove("large-one")
        #expect(try store.claimAndFinalize("large-one", "another".utf8).isWon)
        #expect(entries[0].value.elementsEqual(small))
        #expect(entries[1].value.elementsEqual(large))
        #expect(entries[1].value.count == large.count)
        #expect(entries[1].value[65536] == large[65536])
        for (entry, bytes) in zip(entries, [small, large]) {
            let isEqual = entry.value.withBytes { span in
                span.byteCount == bytes.count
                    && span.withUnsafeBytes { $0.elementsEqual(bytes) }
            }
            #expect(isEqual)
        }
    }

    @Test func aMappingEndsWithItsLastUser() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("ends", pattern(100_000)).isWon)
        var entry = try store.entry(for: "ends")
        var copy = entry
        #expect(Self.isMapped("ends", in: path))
        entry = nil
        #expect(copy?.value.count == 100_000)
        #expect(Self.isMapped("ends", in: path))
        copy = nil
        #expect(!Self.isMapped("ends", in: path))
        #expect(entry == nil && copy == nil)
    }

    @Test func anEmptyValueIsAValue() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", []).isWon)
        let entry = try #require(try store.entry(for: "key"))
        #expect(entry.value.isEmpty)
        #expect(entry.value.withBytes { $0.byteCount } == 0)
    }

    @Test func largeValuesAreCollectionsLikeSmallOnes() throws {
        let store = try Store(at: path)
        for size in [10, 100_000] {
            let bytes = pattern(size)
            #expect(try store.claimAndFinalize(Store.Key("key-\(size)"), bytes).isWon)
            let value = try #require(try store.entry(for: Store.Key("key-\(size)"))).value
            #expect(Array(value) == bytes)
            #expect(Array(value[3..<7]) == Array(bytes[3..<7]))
            #expect(Array(value.suffix(5)) == Array(bytes.suffix(5)))
            #expect(value.firstIndex(of: bytes[4]) == bytes.firstIndex(of: bytes[4]))
            #expect(value.withContiguousStorageIfAvailable { $0.count } == size)
        }
    }

    private static func isMapped(_ name: String, in store: String) -> Bool {
        let maps = contents(of: "/proc/self/maps") ?? []
        return String(decoding: maps, as: UTF8.self).split(separator: "\n").contains {
            $0.contains(store + "/") && $0.contains("/" + name)
        }
    }
}
