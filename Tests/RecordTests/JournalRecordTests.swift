import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The small formats of journals.
@Suite(.ownThreads) struct JournalRecordTests {
    private static let cell: JournalCell = {
        var cell = JournalCell(salt: 7, inode: 8, boot: BootID(high: 9, low: 10))
        cell.sequence = 11
        cell.isClosed = true
        cell.committed = JournalCell.End(records: 12, offset: 5000, check: 13)
        cell.written = JournalCell.End(records: 14, offset: 6000, check: 15)
        cell.time = -16
        cell.allocated = 1 << 20
        return cell
    }()

    private static func bytes(of cell: JournalCell) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xff, count: JournalCell.byteCount)
        bytes.withUnsafeMutableBytes { cell.write(to: $0) }
        return bytes
    }

    @Test func aCellReadsAsItWasWritten() {
        let bytes = Self.bytes(of: Self.cell)
        #expect(bytes.withUnsafeBytes { JournalCell($0) } == Self.cell)
        #expect([UInt8](repeating: 0, count: 96).withUnsafeBytes { JournalCell($0) } == nil)
        for count in 0..<96 {
            #expect(Array(bytes[..<count]).withUnsafeBytes { JournalCell($0) } == nil)
        }
    }

    @Test func everyFlippedBitOfACellIsNoticed() {
        var bytes = Self.bytes(of: Self.cell)
        for bit in 0..<(bytes.count * 8) {
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(bytes.withUnsafeBytes { JournalCell($0) } == nil, "bit \(bit)")
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
    }

    @Test func aHeaderReadsAsItWasWritten() {
        let header = JournalHeader(first: 1234, salt: 0xfedc_ba98)
        var bytes = header.bytes
        #expect(bytes.count == 512 && bytes.last == 10)
        #expect(bytes.withUnsafeBytes { JournalHeader($0) } == header)
        for index in 0..<60 {
            bytes[index] ^= 1
            #expect(bytes.withUnsafeBytes { JournalHeader($0) } == nil, "byte \(index)")
            bytes[index] ^= 1
        }
    }

    @Test func everyFlippedBitOfAFrameIsNoticed() throws {
        let payload = pattern(50)
        var frame = JournalFrame(count: 50, previous: 3, number: 4, time: 5)
        var checksum = frame.checksum
        payload.withUnsafeBytes { checksum.update($0) }
        frame.check = checksum.value
        var bytes = [UInt8](repeating: 0, count: 32)
        bytes.withUnsafeMutableBytes { frame.write(to: $0) }
        #expect(bytes.withUnsafeBytes { JournalFrame($0) } == frame)
        for bit in 0..<256 {
            bytes[bit / 8] ^= 1 << (bit % 8)
            if let other = bytes.withUnsafeBytes({ JournalFrame($0) }) {
                var checksum = other.checksum
                payload.withUnsafeBytes { checksum.update($0) }
                #expect(checksum.value != other.check, "bit \(bit)")
            }
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
    }

    @Test func namesOfSegmentsAndJournals() throws {
        #expect(Layout.segment(42) == "00000000000000000042")
        func first(_ name: String) -> UInt64? {
            Array(name.utf8).withUnsafeBufferPointer { Layout.segmentFirst(of: $0) }
        }
        #expect(first("00000000000000000042") == 42)
        for name in ["0000000000000000042", "00000000000000000000", "0000000000000000004x", ".new"]
        {
            #expect(first(name) == nil, "\(name)")
        }
        #expect(try JournalName(".changes") != JournalName.changes)
        #expect(JournalName(directory: Array(".changes".utf8)) == nil)
    }
}
