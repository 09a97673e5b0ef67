import Glibc
import SystemCalls
import TestSupport

@testable import FlockCache

/// A journal in a store of its own, with small segments, and what a process that dies can do to it.
final class JournalBench: @unchecked Sendable {
    // Used by one test.
    let directory = TemporaryDirectory()
    let session: Session
    let store: OpenStore
    let journal: SegmentedJournal
    let name: JournalName
    let segmentByteCount: Int

    init(
        _ name: JournalName? = nil, segmentByteCount: Int = 1 << 20, durable: Bool = false
    ) throws {
        var configuration = Store.Configuration()
        if durable { configuration.durability = .powerLoss }
        session = try Session(
            path: Array(directory("store").utf8), configuration: configuration)
        store = try session.forWriting()
        self.name = try name ?? JournalName("log")
        self.segmentByteCount = segmentByteCount
        journal = SegmentedJournal(
            self.name, of: store.files, store.locks, store.board,
            segmentByteCount: segmentByteCount)
    }

    /// The same journal as another process has it.
    func another() -> SegmentedJournal {
        SegmentedJournal(
            name, of: store.files, LockTableAccess(store.files), BoardAccess(store.files),
            segmentByteCount: segmentByteCount)
    }

    var path: String { journal.path() }
    var segments: [String] { names(in: path).filter { !$0.hasPrefix(".") } }

    @discardableResult
    func append(_ records: [[UInt8]]) throws -> ClosedRange<UInt64> {
        var held = try HeldJournal(journal)
        return try held.append(records)
    }

    @discardableResult
    func append(_ text: String) throws -> UInt64 { try append([Array(text.utf8)]).lowerBound }

    /// Writes records behind the end as a process that is killed before it writes the cell.
    func appendAndDie(_ records: [[UInt8]]) throws {
        let held = try HeldJournal(journal)
        var writer = FrameWriter(
            held.segment, from: held.cell.written, at: WallClock.microseconds, capacity: 0)
        for record in records { try record.withUnsafeBytes { try writer.add($0) } }
        try writer.flush()
    }

    /// Everything from a number on, as another process reads it.
    func read(from number: UInt64? = nil) throws -> [[UInt8]] {
        let reader = JournalReader(another(), from: number)
        return try reader.rest().map(\.bytes)
    }

    /// Changes the last segment's cells.
    func changeCells(_ change: (inout JournalCell) -> Void) throws {
        let held = try HeldJournal(journal)
        let found = try held.segment.cell()
        guard var cell = found?.cell else { throw Unexpected("no cell") }
        change(&cell)
        for index in JournalCell.offsets.indices {
            cell.sequence += 1
            try held.segment.write(cell, at: index)
        }
    }

    /// Makes what the last segment's cells say that of an earlier boot.
    func reboot() throws {
        try changeCells { $0.boot = BootID(high: 1, low: 2) }
        journal.knownSegment = nil
    }
}

extension JournalReader {
    struct Line: Equatable {
        let number: UInt64
        let bytes: [UInt8]
    }

    /// All records that are there now.
    func rest() throws -> [Line] {
        var lines: [Line] = []
        while case .record(let found) = try next() {
            lines.append(Line(number: found.number, bytes: try bytes(of: found)))
        }
        return lines
    }
}

/// Changes bytes of a file in place.
func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) {
    let file = open(path, O_WRONLY)
    guard file >= 0, pwrite(file, bytes, bytes.count, off_t(offset)) == bytes.count else {
        fatalError("overwrite \(path): errno \(errno)")
    }
    close(file)
}
