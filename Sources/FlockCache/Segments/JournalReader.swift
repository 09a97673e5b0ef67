internal import SystemCalls

/// Reads a journal from a number on, record by record, without its lock; at the end it can go on later.
///
/// It never goes back, loses or repeats a record, whatever is appended, rotated and trimmed meanwhile: of a segment
/// that is removed it reads on what it had open. Used by one thread at a time.
package final class JournalReader {
    /// A record that is complete.
    package struct Found: Sendable {
        package let number: UInt64
        /// Microseconds since 1970, by the clock of the process that appended it.
        package let time: Int64
        package let count: Int
        fileprivate let offset: Int
    }

    /// What comes next.
    package enum Step: Sendable {
        case record(Found)
        /// Nothing yet.
        case end
        /// There is no such journal, or no longer.
        case noJournal
    }

    let journal: SegmentedJournal
    private var scan: SegmentScan?
    private var bound = Bound.unseen
    /// Of the segment's cell when it was last looked at; 0 where there was none.
    private(set) var sequence: UInt64 = 0
    /// Nothing behind it is read; nil without such an end.
    private var last: UInt64?
    private let isBounded: Bool

    /// What tells where the segment's records end.
    private enum Bound {
        case unseen
        /// Until the first append after another boot: the chain of checks alone.
        case chain
        case cell(JournalCell)
    }

    /// Where to begin; nil: with the oldest record.
    private let start: UInt64?

    /// - Parameters:
    ///   - start: the number of the record to begin with; nil: the oldest one.
    ///   - isBounded: whether to read what is there when the first record is asked for, and nothing later.
    init(_ journal: SegmentedJournal, from start: UInt64?, isBounded: Bool = false) {
        self.journal = journal
        self.start = start
        self.isBounded = isBounded
    }

    var segment: Segment? { scan?.segment }
    var isClosed: Bool { if case .cell(let cell) = bound { cell.isClosed } else { false } }

    /// The number of the next record, once it is known where to begin.
    package var number: UInt64? { scan.map { $0.segment.first + $0.end.records } ?? start }

    /// The next record.
    ///
    /// - Throws: `.trimmed` where it was trimmed away; `.invalidNumber` where the number to begin with is beyond the
    ///   next record's; `.damaged` where its check fails.
    package func next() throws(StoreError) -> Step {
        if scan == nil, try !begin() { return .noJournal }
        if let last, let number, number > last { return .end }
        while let scan {
            if mayHaveMore(scan), let found = try read(scan) { return .record(found) }
            if try refresh(scan) { continue }
            guard case .cell(let cell) = bound, cell.isClosed else {
                return try scan.segment.isLinked() ? .end : .noJournal
            }
            switch try goOn(behind: scan) {
            case .opened: continue
            case .notYet: return .end
            case .removed: return .noJournal
            }
        }
        return .noJournal
    }

    /// The bytes of the record that was last found.
    package func bytes(of record: Found) throws(StoreError) -> [UInt8] {
        try scan?.bytes(record.offset, record.count) ?? []
    }

    /// The bytes of the record that was last found, piece by piece.
    package func pieces(
        of record: Found, _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) {
        _ = try unsafe scan?.pieces(record.offset, record.count, body)
    }

    // MARK: Where to begin

    /// Opens the segment of the number to begin with, and goes there; false where there is no journal.
    ///
    /// Done by the first `next` where it was not before.
    package func begin() throws(StoreError) -> Bool {
        // Again where it is trimmed meanwhile.
        for _ in 0..<100 {
            guard let survey = try JournalSurvey(of: journal) else { return false }
            let number = start ?? survey.first
            guard number > 0 else { throw .numberZero(journal.name.key) }
            guard number >= survey.first else {
                throw .trimmed(journal.name.key, number, first: survey.first)
            }
            guard number <= survey.last + 1 else {
                throw .numberBeyond(journal.name.key, number, last: survey.last)
            }
            guard let part = survey.parts.last(where: { $0.first <= number }),
                let directory = try journal.directoryForReading(),
                let segment = try Segment.open(
                    part.first, in: directory, .read, journal: journal.path())
            else { continue }
            let scan = SegmentScan(segment)
            self.scan = scan
            bound = .unseen
            if isBounded { last = survey.last }
            while scan.segment.first + scan.end.records < number {
                if mayHaveMore(scan), try read(scan) != nil { continue }
                guard try refresh(scan) else { break }
            }
            if scan.segment.first + scan.end.records == number { return true }
            self.scan = nil
        }
        return false
    }

    // MARK: In a segment

    private func mayHaveMore(_ scan: SegmentScan) -> Bool {
        switch bound {
        case .unseen: false
        case .chain: true
        case .cell(let cell): scan.end.records < cell.committed.records
        }
    }

    private func read(_ scan: SegmentScan) throws(StoreError) -> Found? {
        scan.limit = .max
        if case .cell(let cell) = bound { scan.limit = cell.committed.offset }
        if case .record(let frame, let payload) = try scan.next() {
            return Found(
                number: frame.number, time: frame.time, count: frame.count, offset: payload)
        }
        guard case .cell = bound else {
            // It may be written later.
            scan.refresh()
            return nil
        }
        return try readAgain(scan)
    }

    /// A record that its segment's cell promises, and that is not there: looked at again for as long as a network may
    /// show an older file.
    private func readAgain(_ scan: SegmentScan) throws(StoreError) -> Found {
        let deadline = BootTime.now.advanced(
            by: journal.files.isLocal ? .zero : .seconds(1))
        repeat {
            scan.refresh()
            if case .record(let frame, let payload) = try scan.next() {
                return Found(
                    number: frame.number, time: frame.time, count: frame.count, offset: payload)
            }
            if !journal.files.isLocal { sleep(nanoseconds: 10_000_000) }
        } while BootTime.now < deadline
        let number = scan.segment.first + scan.end.records
        let next = try JournalSurvey(of: journal)?.parts.first { $0.first > number }?.first
        throw .damagedRecord(number, at: scan.end.offset, in: scan.segment.path, next: next)
    }

    /// Looks at the segment's cell; true where there is something to be read that was not there before.
    private func refresh(_ scan: SegmentScan) throws(StoreError) -> Bool {
        let boot = try journal.files.placeIfKnown()?.boot
        let found = try scan.segment.cellForReading()
        sequence = found?.sequence ?? 0
        guard let cell = found, cell.isTrusted(in: journal, scan.segment, boot)
        else {
            if case .chain = bound { return false }
            bound = .chain
            return true
        }
        // Not below what was read: such a cell is older.
        guard cell.committed.records >= scan.end.records else { return false }
        bound = .cell(cell)
        return cell.committed.records > scan.end.records
    }

    private enum Next { case opened, notYet, removed }

    /// Goes on with the segment behind a closed one.
    private func goOn(behind scan: SegmentScan) throws(StoreError) -> Next {
        let number = scan.segment.first + scan.end.records
        if let directory = try journal.directoryForReading(),
            let segment = try Segment.open(
                number, in: directory, .read, journal: journal.path()),
            segment.inode != scan.segment.inode
        {
            self.scan = SegmentScan(segment)
            bound = .unseen
            return .opened
        }
        // Before the look at what there is: segments are removed only where others follow.
        let isLinked = try scan.segment.isLinked()
        guard let survey = try JournalSurvey(of: journal) else { return .removed }
        // Another journal of that name was begun.
        if survey.last + 1 < number { return .removed }
        guard survey.first <= number else {
            throw .trimmed(journal.name.key, number, first: survey.first)
        }
        return isLinked || survey.last >= number ? .notYet : .removed
    }
}
