import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Random histories of a segment, cut short by a power failure that leaves some sectors old and some new: what is
/// recovered is a beginning of what was once written in one row.
@Suite(.ownThreads) struct JournalHistoryTests {
    /// How a frame's check is made.
    enum Check: String, CaseIterable {
        /// As in the product: it goes on from that of the frame before.
        case chained
        /// Over the frame alone, with its number and the segment's salt: the control.
        case plain
    }

    /// A segment in memory, and the ways it came to be as it is.
    private struct History {
        let check: Check
        var image = [UInt8](repeating: 0, count: 20_000)
        var end = JournalCell.End(check: History.salt)
        var identity = 0
        /// Of each record that was written: the one before it.
        var former: [Int: Int] = [:]
        var lastCommitted = 0
        var versions: [[UInt8]] = []
        static let salt: UInt32 = 0x1234_5678

        init(_ check: Check, _ random: inout Seeded) {
            self.check = check
            image.replaceSubrange(
                0..<512, with: JournalHeader(first: 1, salt: Self.salt).bytes)
            versions.append(image)
            for _ in 0..<Int.random(in: 3...10, using: &random) {
                let isKilled = Int.random(in: 0..<3, using: &random) == 0
                write(Int.random(in: 1...4, using: &random), isKilled, &random)
                versions.append(image)
            }
        }

        /// Appends records; killed, the end stays where it was.
        private mutating func write(_ count: Int, _ isKilled: Bool, _ random: inout Seeded) {
            var (at, last) = (end, lastCommitted)
            for _ in 0..<count {
                identity += 1
                // Of few lengths, so that frames of one history meet in one place.
                let size = [40, 40, 100, 300].randomElement(using: &random) ?? 40
                let text = Array("\(identity)".utf8)
                let payload = text + [UInt8](repeating: 32, count: size - text.count)
                let seed = check == .chained ? at.check : Self.salt
                var frame = JournalFrame(
                    count: size, previous: seed, number: at.records + 1, time: 0)
                var checksum = frame.checksum
                payload.withUnsafeBytes { checksum.update($0) }
                frame.check = checksum.value
                let start = at.offset
                image.withUnsafeMutableBytes {
                    frame.write(to: UnsafeMutableRawBufferPointer(rebasing: $0[start...]))
                }
                image.replaceSubrange((start + 32)..<(start + 32 + size), with: payload)
                former[identity] = last
                last = identity
                at.records += 1
                at.offset += 32 + size
                at.check = frame.check
            }
            if !isKilled { (end, lastCommitted) = (at, last) }
        }

        /// What the device has: of each sector one of the last versions.
        func cut(_ random: inout Seeded) -> [UInt8] {
            var image = image
            let latest = versions.suffix(4)
            for start in stride(from: 4096, to: image.count - 512, by: 512) {
                let version = latest.randomElement(using: &random) ?? image
                image.replaceSubrange(start..<(start + 512), with: version[start..<(start + 512)])
            }
            return image
        }
    }

    /// The records that are found, and whether each is behind the one that it was written behind.
    private func isOneRow(_ image: [UInt8], _ history: History) throws -> Bool {
        var (last, isRow) = (0, true)
        try forEachRecord(of: image, history.check) { payload in
            let text = payload.prefix { $0 != 32 }
            let identity = Int(String(decoding: text, as: UTF8.self)) ?? -1
            if history.former[identity] != last { isRow = false }
            last = identity
        }
        return isRow
    }

    private func forEachRecord(
        of image: [UInt8], _ check: Check, _ body: ([UInt8]) -> Void
    ) throws {
        switch check {
        case .chained:
            let scan = SegmentScan(try segment(image))
            while case .record(let frame, let payload) = try scan.next() {
                body(try scan.bytes(payload, frame.count))
            }
        case .plain:
            var (offset, number) = (JournalCell.firstFrame, UInt64(1))
            while offset + 32 <= image.count,
                let frame = Array(image[offset..<(offset + 32)]).withUnsafeBytes({
                    JournalFrame($0)
                }), frame.number == number, offset + 32 + frame.count <= image.count
            {
                let payload = Array(image[(offset + 32)..<(offset + 32 + frame.count)])
                var checksum = frame.checksum
                payload.withUnsafeBytes { checksum.update($0) }
                guard checksum.value == frame.check, frame.previous == History.salt else { return }
                body(payload)
                offset += 32 + frame.count
                number += 1
            }
        }
    }

    private let directory = TemporaryDirectory()

    private func segment(_ image: [UInt8]) throws -> Segment {
        let name = "00000000000000000001"
        write(image, to: directory(name))
        let found = try Segment.open(
            1, in: Directory.open(path: FileName(directory.path)), .read, journal: directory.path)
        return try #require(found)
    }

    /// The chain never takes a record for one behind another that it was not written behind; a check of the frame
    /// alone does.
    @Test(arguments: Check.allCases)
    func aCutSegmentIsABeginningOfOneRow(_ check: Check) throws {
        var random = Seeded("cut segments, \(check)")
        let count = wantsLongTests ? 20_000 : check == .chained ? 1500 : 3000
        var wrong = 0
        for _ in 0..<count {
            let history = History(check, &random)
            if try !isOneRow(history.cut(&random), history) { wrong += 1 }
        }
        print("\(check): \(wrong) of \(count) histories wrong")
        switch check {
        case .chained: #expect(wrong == 0)
        case .plain: #expect(wrong > 0, "the control finds what the chain is for")
        }
    }
}
