import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Every key is one safe file name, and every such name one key.
@Suite(.ownThreads) struct KeyTests {
    @Test func everyKeyOfOneOrTwoBytesHasASafeNameOfItsOwn() {
        var names: Set<[UInt8]> = []
        for first in UInt8.min...UInt8.max {
            check([first], &names)
            for second in UInt8.min...UInt8.max { check([first, second], &names) }
        }
        #expect(names.count == 256 + 65536)
    }

    @Test func randomKeysHaveSafeNamesOfTheirOwn() {
        var random = Seeded("random keys")
        var names: Set<[UInt8]> = []
        var keys: Set<[UInt8]> = []
        let parts = [".pending", ".", "/", "%", "%2E", ".tmp-", "..", "\0", "a"].map {
            Array($0.utf8)
        }
        for _ in 0..<20_000 {
            var key: [UInt8] = []
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                if Bool.random(using: &random) {
                    key += parts.randomElement(using: &random) ?? []
                } else {
                    key.append(UInt8.random(in: 0...255, using: &random))
                }
            }
            if keys.insert(key).inserted { check(key, &names) }
        }
        #expect(names.count == keys.count)
    }

    private func check(_ key: [UInt8], _ names: inout Set<[UInt8]>) {
        let name = PercentCode.encode(key)
        // Comparing first: an expectation for each of so many takes its time.
        if PercentCode.decode(name) != key || !isSafe(name) || !names.insert(name).inserted {
            Issue.record("\(key) is encoded as \(String(decoding: name, as: UTF8.self))")
        }
    }

    private func isSafe(_ name: [UInt8]) -> Bool {
        let allowed = Array("-_.:@+=,%".utf8)
        let isPlain = name.allSatisfy { byte in
            allowed.contains(byte) || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte
                || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
        }
        return isPlain && name.first != UInt8(ascii: ".")
            && !name.suffix(8).elementsEqual(".pending".utf8)
    }

    @Test(arguments: [
        "%61", "%2f", "%", "%2", "a%", ".a", "x.pending", "%4G", "a b", "a/b", "ä", "", "%25%",
    ])
    func aNameThatNoKeyHasIsNoKey(name: String) {
        #expect(PercentCode.decode(Array(name.utf8)) == nil)
    }

    /// Other programs find entries by this, so it must never change.
    @Test func theShardIsTheLowByteOfFNV1a() {
        // From the authors' page: FNV-1a 64 of "", "a", "foobar".
        #expect(PercentCode.hash(of: []) & 0xff == 0x25)
        #expect(PercentCode.hash(of: Array("a".utf8)) & 0xff == 0x8c)
        #expect(PercentCode.hash(of: Array("foobar".utf8)) & 0xff == 0xe8)
    }
}
