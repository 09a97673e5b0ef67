import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The small formats: the marker, the shard blocks, the checksum.
@Suite(.ownThreads) struct FormatTests {
    // MARK: Shard blocks

    private static let block: ShardBlock = {
        var block = ShardBlock()
        block.changer = 4711
        block.highest = 1_700_000_000_000_001
        block.counts = ShardCounts(pending: 3, ready: 70_000, temporaries: 1, bytes: 1 << 40)
        block.boot = BootID(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210)
        return block
    }()

    private static func bytes(of block: ShardBlock) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xff, count: ShardBlock.byteCount)
        bytes.withUnsafeMutableBytes { block.write(to: $0) }
        return bytes
    }

    @Test func aShardBlockReadsAsItWasWritten() {
        for block in [Self.block, ShardBlock()] {
            #expect(Self.bytes(of: block).withUnsafeBytes { ShardBlock($0) } == block)
        }
    }

    @Test func everyFlippedBitOfAShardBlockIsNoticed() {
        var bytes = Self.bytes(of: Self.block)
        for bit in 0..<(bytes.count * 8) {
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(bytes.withUnsafeBytes { ShardBlock($0) } == nil, "bit \(bit)")
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
    }

    @Test func aShardBlockThatWasNeverWrittenIsUnknown() {
        let zeros = [UInt8](repeating: 0, count: ShardBlock.byteCount)
        #expect(zeros.withUnsafeBytes { ShardBlock($0) } == nil)
    }

    @Test func aShardBlockReadWhileItIsWrittenIsUnknown() {
        var later = Self.block
        later.changer = 0
        later.counts.ready += 1
        later.highest += 1
        let (old, new) = (Self.bytes(of: Self.block), Self.bytes(of: later))
        for cut in stride(from: 8, to: 64, by: 8) {
            let mixed = new[..<cut] + old[cut...]
            let read = Array(mixed).withUnsafeBytes { ShardBlock($0) }
            #expect(read == nil || read == later || read == Self.block, "cut at \(cut)")
        }
    }

    // MARK: The marker

    @Test(arguments: [0o700, 0o750, 0o770], [false, true])
    func theMarkerReadsAsItWasWritten(mode: UInt32, isDurable: Bool) {
        var marker = Marker()
        marker.mode = mode
        marker.isDurable = isDurable
        #expect(Marker.read(marker.text) == .marker(marker))
    }

    @Test func theMarkerOfALaterVersionIsNewer() {
        #expect(Marker.read(Array("flock-cache 3\n".utf8)) == .newer(3))
        #expect(Marker.read(Array("flock-cache 10\nanything\n".utf8)) == .newer(10))
    }

    @Test func settingsThatAreNotKnownArePassedOver() {
        let text = "flock-cache 1\nmode: 0750\ncolour: blue\ndurable: yes\n"
        var marker = Marker()
        marker.mode = 0o750
        marker.isDurable = true
        #expect(Marker.read(Array(text.utf8)) == .marker(marker))
    }

    /// Every part of a marker is incomplete, also with NULs behind it, unless it ends with a line.
    @Test func partsOfAMarkerAreIncomplete() {
        for mode: UInt32 in [0o700, 0o750, 0o770] {
            let text = Marker(mode: mode, isDurable: true).text
            for length in 0..<text.count {
                let part = Array(text[..<length])
                let endsLine = part.last == UInt8(ascii: "\n")
                #expect((Marker.read(part) == .torn) == !endsLine, "\(length)")
                #expect(Marker.read(part + [0, 0, 0]) == .torn, "\(length)")
                #expect(Marker.read(part + [0, 0, 1]) == .notAMarker, "\(length)")
                #expect(Marker.read(part + Array("?".utf8)) != .torn, "\(length)")
            }
        }
    }

    // MARK: The checksum

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var checksum = Checksum()
        bytes.withUnsafeBytes { checksum.update($0) }
        return checksum.value
    }

    @Test func theChecksumIsCRC32C() {
        // RFC 3720, B.4, and the check value of the catalogue of parametrised CRC algorithms.
        let vectors: [([UInt8], UInt32)] = [
            ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
            (Array(0..<32), 0x46dd_794e),
            (Array((0..<32).reversed()), 0x113f_db5c),
            (Array("123456789".utf8), 0xe306_9283),
            ([], 0),
        ]
        for (bytes, expected) in vectors {
            #expect(Self.checksum(bytes) == expected)
            #expect(bytes.withUnsafeBytes { Checksum.byTable($0) } == expected)
        }
    }

    @Test func theChecksumByInstructionIsTheOneByTable() {
        var random = Seeded("checksums")
        let bytes = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
        for _ in 0..<2000 {
            let start = Int.random(in: 0..<bytes.count, using: &random)
            let end = Int.random(in: start...min(bytes.count, start + 600), using: &random)
            let cut = Int.random(in: start...end, using: &random)
            var pieces = Checksum()
            // In two pieces, of which the second begins anywhere in a word.
            bytes[start..<cut].withUnsafeBytes { pieces.update($0) }
            bytes[cut..<end].withUnsafeBytes { pieces.update($0) }
            let table = bytes[start..<end].withUnsafeBytes { Checksum.byTable($0) }
            if pieces.value != table { Issue.record("\(start)..<\(cut)..<\(end)") }
        }
    }
}
