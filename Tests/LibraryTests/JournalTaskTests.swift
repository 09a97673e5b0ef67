import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

#if Async

/// Journals that tasks follow.
@Suite(.timed) struct JournalTaskTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// Two `Store`s stand for two processes: they share nothing but the files.
    private func stores() throws -> (Journal, Journal) {
        (try Store(at: path).journal("log"), try Store(at: path).journal("log"))
    }

    @Test func aFollowerGetsWhatIsThereAndWhatComes() async throws {
        let (reader, writer) = try stores()
        for number in 1...3 { try await writer.append("\(number)".utf8) }
        let read = Counter()
        let task = Task.detached {
            var numbers: [UInt64] = []
            for try await record in reader.follow() {
                #expect(String(decoding: record.bytes, as: UTF8.self) == "\(record.number)")
                numbers.append(record.number)
                read.add(1)
                if record.number == 10 { break }
            }
            return numbers
        }
        for number in 4...10 {
            try await reach(number - 1, read)
            try await writer.append("\(number)".utf8)
        }
        #expect(try await task.value == Array(1...10))
    }

    @Test func aFollowerWaitsForAJournalThatIsNotThereAndEndsWhenItIsRemoved() async throws {
        let (reader, writer) = try stores()
        let read = Counter()
        let task = Task.detached {
            var count = 0
            for try await _ in reader.follow() {
                count += 1
                read.add(1)
            }
            return count
        }
        try await Task.sleep(for: .milliseconds(20))
        try await writer.append("first".utf8)
        try await reach(1, read)
        #expect(try await writer.remove())
        #expect(try await task.value == 1)
        #expect(try await !writer.remove())
    }

    @Test func aHundredFollowersAreCancelled() async throws {
        let (reader, writer) = try stores()
        try await writer.append("0".utf8)
        let read = Counter()
        let tasks = (0..<100).map { _ in
            Task.detached {
                for try await _ in reader.follow() { read.add(1) }
            }
        }
        try await reach(100, read)
        for round in 1...5 {
            try await writer.append("\(round)".utf8)
            try await reach(100 * (round + 1), read)
        }
        for task in tasks { task.cancel() }
        for task in tasks {
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        try await writer.append("nobody".utf8)
        #expect(read.value == 600)
    }

    @Test func followersGoOnThroughRotationWithoutABoard() async throws {
        let (reader, _) = try stores()
        let opened = try reader.kept == nil
        #expect(opened)
        let session = try Store(at: path).session.forWriting()
        let small = SegmentedJournal(
            try JournalName("log"), of: session.files, session.locks, session.board,
            segmentByteCount: 8192)
        let read = Counter()
        let task = Task.detached {
            var numbers: [UInt64] = []
            for try await record in reader.follow() {
                numbers.append(record.number)
                read.add(1)
                if record.number == 60 { break }
            }
            return numbers
        }
        for number in 1...60 {
            do {
                var held = try HeldJournal(small)
                _ = try held.append([pattern(900, number)])
            }
            if number == 30 { unlink(path + "/board") }
            if number % 7 == 0 { try await reach(number, read) }
        }
        #expect(try await task.value == Array(1...60))
    }
}

#endif
