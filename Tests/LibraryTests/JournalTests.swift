import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Journals as programs use them.
@Suite(.ownThreads) struct JournalTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func texts(_ journal: Journal, from number: UInt64? = nil) throws -> [String] {
        var records = try journal.records(from: number)
        var texts: [String] = []
        while let record = try records.next() {
            texts.append(String(decoding: record.bytes, as: UTF8.self))
        }
        return texts
    }

    @Test func recordsAreNumberedAndRead() throws {
        let journal = try Store(at: path).journal("a/b")
        #expect(try journal.kept == nil)
        #expect(try texts(journal) == [])
        #expect(try journal.append("one".utf8) == 1)
        #expect(try journal.append(contentsOf: ["two".utf8, "three".utf8]) == 2...3)
        #expect(try journal.append(contentsOf: [[UInt8]]()) == nil)
        #expect(try journal.append(AnyCollection("four".utf8)) == 4)
        #expect(try journal.kept == 1...4)
        #expect(try texts(journal) == ["one", "two", "three", "four"])
        #expect(try texts(journal, from: 3) == ["three", "four"])
        #expect(try texts(journal, from: 5) == [])
        #expect(storeError { _ = try texts(journal, from: 6) }?.code == .invalidNumber)
        #expect(storeError { _ = try texts(journal, from: 0) }?.code == .invalidNumber)
        #expect(names(in: path + "/journal") == ["a%2Fb"])
        var records = try journal.records()
        let record = try #require(try records.next())
        #expect(record.number == 1 && record.age < .seconds(60) && record.age >= .zero)
    }

    @Test func aRecordThatIsTooLargeIsRefused() throws {
        let journal = try Store(at: path).journal("log")
        let large = [UInt8](repeating: 0, count: (16 << 20) + 1)
        #expect(storeError { try journal.append(large) }?.code == .invalidRecord)
        #expect(storeError { try journal.append(contentsOf: [[], large]) }?.code == .invalidRecord)
        #expect(try journal.kept == nil && !names(in: path).contains("journal"))
        #expect(storeError { try Store(at: path).journal("").append([]) }?.code == .invalidKey)
    }

    @Test func readingEndsWithWhatWasThere() throws {
        let journal = try Store(at: path).journal("log")
        try journal.append("one".utf8)
        var records = try journal.records()
        #expect(try records.next() != nil)
        try journal.append("two".utf8)
        #expect(try records.next() == nil)
    }

    @Test func trimmingToNothingKeepsTheNumbers() throws {
        let journal = try Store(at: path).journal("log")
        for text in ["one", "two"] { try journal.append(text.utf8) }
        try journal.trim(keeping: 1)
        #expect(try journal.kept == 1...2)
        try journal.trim(maxAge: .seconds(3600))
        #expect(try journal.kept == 1...2)
        try journal.trim(keeping: 0)
        #expect(try journal.kept == nil)
        #expect(storeError { _ = try texts(journal, from: 2) }?.code == .trimmed)
        #expect(try texts(journal) == [])
        #expect(try texts(journal, from: 3) == [])
        #expect(try journal.append("three".utf8) == 3)
        try journal.trim(maxBytes: 0)
        #expect(try journal.kept == nil)
        try journal.trim(keeping: 0)
        #expect(try journal.append("four".utf8) == 4)
        try journal.trim(maxAge: .zero)
        #expect(try journal.append("five".utf8) == 5)
    }

    @Test func trimmingKeepsWhatWasAskedAndASegmentMoreAtMost() throws {
        let bench = try JournalBench(segmentByteCount: 8192)
        for number in 1...200 { try bench.append([pattern(500, number)]) }
        let all = try #require(try JournalSurvey(of: bench.journal))
        let most = all.parts.map(\.records).max() ?? 0
        for count in [150, 100, 40, 1] {
            var limits = JournalLimits()
            limits.count = count
            try bench.journal.trim(limits, patience: .seconds(10))
            let survey = try #require(try JournalSurvey(of: bench.journal))
            let kept = survey.last - survey.first + 1
            #expect(kept >= count && kept < UInt64(count) + most, "\(count): \(kept)")
            #expect(survey.last == 200)
        }
    }

    @Test func trimmingLeavesWhatIsHeldFast() throws {
        let bench = try JournalBench(segmentByteCount: 8192)
        for number in 1...200 { try bench.append([pattern(500, number)]) }
        var limits = JournalLimits()
        limits.count = 0
        limits.from = 100
        try bench.journal.trim(limits, patience: .seconds(10))
        let kept = try #require(try JournalSurvey(of: bench.journal)?.kept)
        #expect(kept.lowerBound > 80 && kept.lowerBound <= 100 && kept.upperBound == 200)
    }

    /// What was dated by a clock that was ahead is as old as anything.
    @Test func trimmingByAge() throws {
        let bench = try JournalBench(segmentByteCount: 8192)
        for number in 1...40 { try bench.append([pattern(500, number)]) }
        var limits = JournalLimits()
        limits.maxAge = .seconds(3600)
        try bench.journal.trim(limits, patience: .seconds(10))
        #expect(try JournalSurvey(of: bench.journal)?.kept == 1...40)
        for time in [WallClock.microseconds - 7200_000_000, WallClock.microseconds + 7200_000_000] {
            try bench.append([[1]])
            let last = try #require(try JournalSurvey(of: bench.journal)).last
            try bench.changeCells { $0.time = time }
            try bench.journal.trim(limits, patience: .seconds(10))
            let survey = try #require(try JournalSurvey(of: bench.journal))
            // The segments before it are young, and the oldest segment that is to be kept ends it.
            #expect(survey.last == last)
            var all = JournalLimits()
            all.count = 1
            try bench.journal.trim(all, patience: .seconds(10))
            try bench.journal.trim(limits, patience: .seconds(10))
            let rest = try #require(try JournalSurvey(of: bench.journal))
            #expect(rest.kept == nil && rest.first == last + 1)
        }
    }

    /// All records have the time of the clock of their writer; the order is that of the numbers.
    @Test func manyThreadsAppendWithoutGaps() throws {
        let store = try Store(at: path)
        let journal = store.journal("log")
        let sum = Counter()
        let threads = (0..<8).map { thread in
            WaitingThread<Void> { _ in
                for index in 0..<200 {
                    sum.add(Int(try journal.append("\(thread) \(index)".utf8)))
                }
            }
        }
        for thread in threads { try thread.result() }
        #expect(sum.value == 1600 * 1601 / 2)
        #expect(try journal.kept == 1...1600)
        var next = [Int](repeating: 0, count: 8)
        for text in try texts(journal) {
            let words = text.split(separator: " ").compactMap { Int($0) }
            #expect(next[words[0]] == words[1])
            next[words[0]] += 1
        }
    }

    @Test func aReadOnlyStoreIsReadAndNothingElse() throws {
        let journal = try Store(at: path).journal("log")
        try journal.append("one".utf8)
        // Nothing is written, as on a file system that is mounted read-only.
        let before = names(in: path + "/journal/log")
        #expect(try texts(journal) == ["one"])
        #expect(names(in: path + "/journal/log") == before)
    }

    @Test func otherPassesDoNotSeeJournals() throws {
        let store = try Store(at: path)
        try store.journal("log").append("one".utf8)
        var entries = try store.entries()
        #expect(try entries.next() == nil)
        #expect(try store.reap().isEmpty)
        #expect(Tally(try store.counts()).ready == 0)
        write([1], to: path + "/journal/log/.new")
        #expect(try store.reap().isEmpty)
        #expect(names(in: path + "/journal/log") == ["00000000000000000001"])
        #expect(try store.journal("log").kept == 1...1)
    }
}
