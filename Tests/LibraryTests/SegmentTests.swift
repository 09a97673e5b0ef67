import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Journals as files: what is appended is read, through rotation, damage and death.
@Suite(.ownThreads) struct SegmentTests {
    private static func records(_ numbers: ClosedRange<Int>, size: Int = 0) -> [[UInt8]] {
        numbers.map { Array("record \($0)".utf8) + pattern(size, $0) }
    }

    @Test func whatIsAppendedIsReadInOrder() throws {
        let bench = try JournalBench()
        let all = Self.records(1...500)
        for (index, record) in all.enumerated() {
            #expect(try bench.append([record]) == UInt64(index + 1)...UInt64(index + 1))
        }
        #expect(try bench.read() == all)
        #expect(try bench.read(from: 400) == Array(all[399...]))
        #expect(try bench.read(from: 501) == [])
        #expect(storeError { _ = try bench.read(from: 502) }?.code == .invalidNumber)
    }

    @Test func emptyAndLargestRecordsAreWhole() throws {
        let bench = try JournalBench()
        var large = [UInt8](repeating: 7, count: 16 << 20)
        large[5_000_000] = 8
        let all = [[], large, [], pattern(70_000), [0]]
        for record in all { try bench.append([record]) }
        #expect(try bench.read() == all)
        #expect(bench.segments.count == 3)
    }

    @Test func segmentsFollowOneAnother() throws {
        let bench = try JournalBench(segmentByteCount: 8192)
        let all = Self.records(1...300, size: 100)
        for record in all { try bench.append([record]) }
        #expect(bench.segments.count > 10)
        #expect(try bench.read() == all)
        for number in [1, 17, 120, 299, 300] {
            #expect(try bench.read(from: UInt64(number)) == Array(all[(number - 1)...]))
        }
        let survey = try #require(try JournalSurvey(of: bench.journal))
        #expect(survey.kept == 1...300)
    }

    @Test func aBatchIsOfOneSegment() throws {
        let bench = try JournalBench(segmentByteCount: 8192)
        try bench.append("first")
        let batch = Self.records(1...100, size: 1000)
        #expect(try bench.append(batch) == 2...101)
        #expect(bench.segments.count == 2)
        #expect(try bench.read(from: 2) == batch)
    }

    @Test func aReaderGoesOnWhereItWas() throws {
        let bench = try JournalBench(segmentByteCount: 8192)
        let reader = JournalReader(bench.another(), from: nil)
        guard case .noJournal = try reader.next() else {
            Issue.record("there is none")
            return
        }
        var read: [[UInt8]] = []
        let all = Self.records(1...200, size: 100)
        for record in all {
            try bench.append([record])
            read += try reader.rest().map(\.bytes)
        }
        #expect(read == all)
    }

    // MARK: Death

    @Test func whatWasNotCommittedIsOverwritten() throws {
        let bench = try JournalBench()
        try bench.append("one")
        try bench.appendAndDie(Self.records(1...50))
        #expect(try bench.read().count == 1)
        try bench.append("two")
        #expect(try bench.read() == [Array("one".utf8), Array("two".utf8)])
        // Of another boot, what follows in the chain stands: here nothing does.
        try bench.reboot()
        #expect(try bench.read() == [Array("one".utf8), Array("two".utf8)])
        try bench.append("three")
        #expect(try bench.read().count == 3)
    }

    @Test func aKilledBatchOfEqualLengthsIsNoTail() throws {
        let bench = try JournalBench()
        try bench.append("aaaa")
        try bench.appendAndDie([Array("bbbb".utf8), Array("cccc".utf8), Array("dddd".utf8)])
        try bench.append("eeee")
        try bench.reboot()
        let expected = ["aaaa", "eeee"].map { Array($0.utf8) }
        #expect(try bench.read() == expected)
        try bench.append("ffff")
        try bench.reboot()
        #expect(try bench.read() == expected + [Array("ffff".utf8)])
    }

    @Test func anotherBootFindsWhatTheCellDoesNotTell() throws {
        let bench = try JournalBench()
        let all = Self.records(1...20)
        for record in all[..<10] { try bench.append([record]) }
        try bench.appendAndDie(Array(all[10...]))
        try bench.reboot()
        #expect(try bench.read() == all)
        #expect(try bench.append("next") == 21)
        #expect(try bench.read() == all + [Array("next".utf8)])
    }

    @Test func anotherBootCutsAtTheFirstRecordThatIsNotWhole() throws {
        let bench = try JournalBench()
        let all = Self.records(1...20)
        for record in all { try bench.append([record]) }
        let place = JournalCell.firstFrame + 12 * JournalFrame.size(of: all[0].count) + 40
        overwrite(bench.path + "/" + bench.segments[0], at: place, with: [0, 0, 0])
        #expect(storeError { _ = try bench.read() }?.code == .damaged)
        try bench.reboot()
        let kept = try bench.read()
        #expect(kept.count >= 11 && kept.count < 20 && kept == Array(all[..<kept.count]))
        #expect(try bench.append("next") == UInt64(kept.count + 1))
        #expect(try bench.read() == kept + [Array("next".utf8)])
    }

    @Test func aRecordThatIsTheImageOfAFrameIsARecord() throws {
        let bench = try JournalBench()
        try bench.append("one")
        try bench.append("two")
        let file = try #require(contents(of: bench.path + "/" + bench.segments[0]))
        let image = Array(file[JournalCell.firstFrame..<(JournalCell.firstFrame + 70)])
        try bench.append([image, image])
        try bench.reboot()
        try bench.append("last")
        #expect(try bench.read(from: 3) == [image, image, Array("last".utf8)])
    }

    // MARK: Cells

    @Test func withoutCellsTheChainTells() throws {
        let bench = try JournalBench()
        let all = Self.records(1...20)
        for record in all { try bench.append([record]) }
        let zeros = [UInt8](repeating: 0, count: 1024)
        overwrite(bench.path + "/" + bench.segments[0], at: 512, with: zeros)
        #expect(try bench.read() == all)
        #expect(try bench.append("next") == 21)
        #expect(try bench.read().count == 21)
        #expect(storeError { _ = try bench.read() } == nil)
    }

    @Test func aCellThatIsCutAnywhereLeavesTheOther() throws {
        let bench = try JournalBench()
        try bench.append("one")
        try bench.append("two")
        let path = bench.path + "/" + bench.segments[0]
        let before = try #require(contents(of: path))
        try bench.append("three")
        let after = try #require(contents(of: path))
        let changed = try #require(
            JournalCell.offsets.first { before[$0] != after[$0] || before[$0 + 8] != after[$0 + 8] }
        )
        for cut in 0...JournalCell.byteCount {
            let mixed =
                after[changed..<(changed + cut)]
                + before[(changed + cut)..<(changed + JournalCell.byteCount)]
            overwrite(path, at: changed, with: Array(mixed))
            let bytes = try #require(contents(of: path))
            let counts = Array(bytes[512..<1120]).withUnsafeBytes { JournalCell.current($0) }
            #expect(counts != nil, "cut at \(cut)")
            let count = try bench.read().count
            #expect(count == 3 || count == 2, "cut at \(cut)")
            #expect(cut < JournalCell.byteCount || count == 3)
        }
    }

    @Test func whatIsRemovedIsBegunAnew() throws {
        let bench = try JournalBench()
        try bench.append("one")
        removeTree(bench.path)
        #expect(try bench.append("again") == 1)
        #expect(try bench.read() == [Array("again".utf8)])
    }

    // MARK: Durable stores

    @Test func aDurableStoreAppendsAndRotates() throws {
        let bench = try JournalBench(segmentByteCount: 8192, durable: true)
        let all = Self.records(1...100, size: 100)
        for record in all { try bench.append([record]) }
        #expect(try bench.read() == all)
        #expect(bench.segments.count > 1)
    }

    @Test func whatAnotherHasNotSynchronisedIsNotReadAndIsPublishedByTheNext() throws {
        let bench = try JournalBench(durable: true)
        try bench.append("one")
        do {
            var held = try HeldJournal(bench.journal)
            var writer = FrameWriter(held.segment, from: held.cell.written, at: 0, capacity: 0)
            try Array("two".utf8).withUnsafeBytes { try writer.add($0) }
            try writer.flush()
            var cell = held.cell
            cell.written = writer.end
            try held.commit(cell)
        }
        #expect(try bench.read().count == 1)
        do {
            var held = try HeldJournal(bench.journal)
            #expect(held.next == 3)
            #expect(try held.record(2) == Array("two".utf8))
            #expect(try held.record(3) == nil)
        }
        #expect(try bench.append("three") == 3)
        #expect(try bench.read().count == 3)
    }

    @Test func anAbandonedSegmentEndsWhereItWasRead() throws {
        for committed in [0, 3] {
            let bench = try JournalBench(durable: true)
            for record in Self.records(1...3).prefix(committed) { try bench.append([record]) }
            do {
                var held = try HeldJournal(bench.journal)
                var writer = FrameWriter(held.segment, from: held.cell.written, at: 0, capacity: 0)
                try Array("lost".utf8).withUnsafeBytes { try writer.add($0) }
                try writer.flush()
                var cell = held.cell
                cell.written = writer.end
                try held.commit(cell)
                try held.abandonUncommitted()
                #expect(held.next == UInt64(committed + 1))
            }
            #expect(try bench.append("next") == UInt64(committed + 1))
            #expect(
                try bench.read()
                    == Self.records(1...3).prefix(committed) + [Array("next".utf8)])
        }
    }
}
