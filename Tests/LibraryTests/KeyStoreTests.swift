import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Every key is one safe file name, and every such name one key.
@Suite(.ownThreads) struct KeyStoreTests {
    @Test func keysWithAnyBytesWorkFromTheLibrary() throws {
        let directory = TemporaryDirectory()
        let store = try Store(at: directory("store"))
        var keys = [
            "\0", "a\0b", "../../escape", "/", ".", "..", ".pending", "x.pending", ".tmp-0-1",
            "flock-cache",
        ]
        .map { Store.Key($0) }
        keys += (0...255).map { Store.Key([UInt8($0)]) }
        for (index, key) in Set(keys).enumerated() {
            #expect(try store.claimAndFinalize(key, "\(index)".utf8).isWon)
            #expect(try store.bytes(of: key) == Array("\(index)".utf8))
        }
        var listed: Set<Store.Key> = []
        var entries = try store.entries()
        while let entry = try entries.next() {
            #expect(listed.insert(entry.key).inserted)
        }
        #expect(listed == Set(keys))
        #expect(names(in: directory.path) == ["store"])
        #expect(names(in: directory("store")) == ["entries", "flock-cache", "locks"])
    }

    @Test func aKeyHasALengthOfOneTo200AndANameOfUpTo240() throws {
        let directory = TemporaryDirectory()
        let store = try Store(at: directory("store"))
        let fine = [
            [UInt8](repeating: 97, count: 1), [UInt8](repeating: 97, count: 200),
            [UInt8](repeating: 0, count: 80),
            [UInt8](repeating: 0, count: 20) + [UInt8](repeating: 97, count: 180),
        ]
        for key in fine { #expect(try store.claimAndFinalize(Store.Key(key), []).isWon) }
        let wrong = [
            [], [UInt8](repeating: 97, count: 201), [UInt8](repeating: 0, count: 81),
            [UInt8](repeating: 0, count: 20) + [UInt8](repeating: 97, count: 181),
        ]
        for bytes in wrong {
            let key = Store.Key(bytes)
            let errors = [
                storeError { _ = try store.claim(key) },
                storeError { _ = try store.entry(for: key) },
                storeError { try store.remove(key) },
            ]
            #expect(errors.allSatisfy { $0?.code == .invalidKey }, "\(bytes.count) bytes")
        }
        #expect(try store.counts().ready == fine.count)
    }
}
