import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The cells of a number: what is not whole is never taken for one, and one of two is always left.
@Suite(.ownThreads) struct CounterRecordTests {
    private static let here = Place(
        boot: BootID(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210),
        processNamespace: 4_026_531_836, timeNamespace: 4_026_531_834)

    private static func section(_ key: String = "key", _ generation: UInt64 = 5) -> ClaimSection {
        ClaimSection(
            name: Array(key.utf8), generation: generation, holder: .session(77), processID: 4711,
            command: [], place: here, since: Stamp(wall: 1_699_999_999_999_999, boot: 12),
            deadline: nil)
    }

    private static let generation: UInt64 = 1_700_000_000_000_001

    private static func cell(_ number: Int64, _ later: UInt64 = 0) -> CounterCell {
        CounterCell(
            number: number, generation: generation + later, counted: 1_700_000_000_000_000)
    }

    private let directory = TemporaryDirectory()

    private func read(_ bytes: [UInt8]) throws -> CounterRecord? {
        write(bytes, to: directory("record"))
        return try CounterRecord.read(
            try File.open(path: FileName(directory("record"))), of: EntryName("key"))
    }

    /// A record whose second cell is the later one.
    private func counted(_ first: CounterCell, _ second: CounterCell) throws -> [UInt8] {
        var bytes = CounterRecord.bytes(behind: Self.section().text, first)
        let record = try #require(try read(bytes))
        #expect(record.cell == first && record.nextOffset == 1536)
        bytes.replaceSubrange(1536..<1636, with: record.text(of: second))
        return bytes
    }

    @Test(arguments: [0, 1, -1, 42, .max, .min, .max - 1, .min + 1])
    func aNumberReadsAsItWasWritten(number: Int64) throws {
        let bytes = CounterRecord.bytes(behind: Self.section().text, Self.cell(number))
        #expect(bytes.count == 1636)
        #expect(try read(bytes)?.cell == Self.cell(number))
        #expect(Self.cell(number).value == Array("\(number)".utf8))
    }

    @Test func theLaterCellCounts() throws {
        let bytes = try counted(Self.cell(1), Self.cell(2, 1))
        let record = try #require(try read(bytes))
        #expect(record.cell.number == 2 && record.nextOffset == 1024)
        var again = bytes
        again.replaceSubrange(1024..<1124, with: record.text(of: Self.cell(3, 2)))
        #expect(try read(again)?.cell.number == 3)
        #expect(try read(again)?.nextOffset == 1536)
    }

    /// A cell that is written over another one is at each byte the old one, the new one, or none.
    @Test func aCellWrittenHalfwayLeavesTheOther() throws {
        let old = try counted(Self.cell(-7), Self.cell(-8, 1))
        let record = try #require(try read(old))
        let text = record.text(of: Self.cell(123_456, 2))
        var seen: Set<Int64> = []
        for count in 0...text.count {
            for isFromTheEnd in [false, true] {
                var bytes = old
                let part = isFromTheEnd ? text.count - count..<text.count : 0..<count
                for index in part { bytes[1024 + index] = text[index] }
                let number = try #require(try read(bytes)).cell.number
                // The bytes that are the same in both are soon all that is missing.
                let isWhole = bytes[1024..<1124].elementsEqual(text)
                #expect(number == (isWhole ? 123_456 : -8), "\(count) bytes")
                seen.insert(number)
            }
        }
        #expect(seen == [-8, 123_456])
    }

    @Test func noFlippedBitMakesAnotherNumber() throws {
        var bytes = try counted(Self.cell(41), Self.cell(42, 1))
        let head = Self.section().text.count
        // What is between is spaces.
        for byte in Array(0..<head) + Array(1024..<1124) + Array(1536..<1636) {
            let bit = byte * 8 + byte % 8
            bytes[bit / 8] ^= 1 << (bit % 8)
            let found = try read(bytes)?.cell
            // The section before the cells is checked with both.
            let isSecond = byte >= 1536
            let isHead = byte < head
            if isHead { #expect(found == nil, "bit \(bit)") }
            if isSecond { #expect(found?.number == 41, "bit \(bit)") }
            #expect(found == nil || found?.number == 42 || isSecond, "bit \(bit)")
            bytes[bit / 8] ^= 1 << (bit % 8)
        }
    }

    @Test func whatIsCutOrLongerIsNoNumber() throws {
        let bytes = try counted(Self.cell(41), Self.cell(42, 1))
        for count in 0..<bytes.count {
            if try read(Array(bytes[..<count])) != nil { Issue.record("cut to \(count)") }
        }
        write(bytes + [0], to: directory("longer"))
        let reading = try ReadyFile.read(
            try File.open(path: FileName(directory("longer"))), EntryName("key"))
        if case .ready = reading { Issue.record("longer") }
    }

    /// A cell of another record, or of the same key's record before, does not count here.
    @Test func aCellOfAnotherRecordIsNone() throws {
        let own = try counted(Self.cell(1), Self.cell(2, 1))
        for other in [Self.section("other"), Self.section("key", 6)] {
            let stranger = CounterRecord.bytes(behind: other.text, Self.cell(99, 9))
            var bytes = own
            bytes.replaceSubrange(1024..<1124, with: stranger[1024..<1124])
            #expect(try read(bytes)?.cell.number == 2)
            bytes.replaceSubrange(1536..<1636, with: stranger[1536..<1636])
            #expect(try read(bytes) == nil)
        }
        #expect(
            try read(CounterRecord.bytes(behind: Self.section("other").text, Self.cell(1))) == nil)
    }

    @Test func bothCellsGoneIsDamaged() throws {
        var bytes = try counted(Self.cell(1), Self.cell(2, 1))
        for start in [1024, 1536] { bytes[start + 10] = 0 }
        #expect(try read(bytes) == nil)
        write(bytes, to: directory("record"))
        let reading = try ReadyFile.read(
            try File.open(path: FileName(directory("record"))), EntryName("key"))
        guard case .damaged = reading else {
            Issue.record("taken for a value")
            return
        }
    }

    @Test func generationsAndTimesBeyondTheirRangeTrapNothing() throws {
        for number in [UInt64.max, 1 << 53, 9_999_999_999_999_999] {
            let cell = CounterCell(number: 1, generation: number, counted: .max)
            let bytes = CounterRecord.bytes(behind: Self.section().text, cell)
            if bytes.count == 1636 { #expect(try read(bytes)?.cell.generation ?? 0 < 1 << 53) }
        }
    }

    /// The placeholder of a generation is as long as any.
    @Test func aGenerationWithZerosBeforeItIsTheSame() throws {
        for generation: UInt64 in [1, 1_700_000_000_000_001, Limits.generation] {
            var section = Self.section()
            section.generation = generation
            let text = section.text(generationWidth: ClaimSection.generationWidth)
            section.generation = 0
            #expect(text.count == section.text(generationWidth: 16).count)
            let parsed = try #require(text.withUnsafeBytes { ClaimSection.parse($0)?.section })
            #expect(parsed.generation == generation)
        }
    }
}
