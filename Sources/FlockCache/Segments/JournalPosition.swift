internal import SystemCalls

/// Where a reader has come to the end, and how the journal was then.
///
/// The order that loses no wake-up: read to the end, take the position, announce, ask the position for news, sleep.
struct JournalPosition: Sendable {
    let journal: SegmentedJournal
    fileprivate let segment: Segment?
    /// Of the segment's cell; it rises with every change.
    fileprivate let sequence: UInt64
    /// The number of the next record.
    fileprivate let number: UInt64
    fileprivate let isClosed: Bool

    /// Whether something was appended since, or the journal made or removed.
    ///
    /// True where that cannot be told: the reader finds out.
    func hasNews() -> Bool {
        do throws(StoreError) {
            return try look()
        } catch {
            return true
        }
    }

    private func look() throws(StoreError) -> Bool {
        guard let segment else {
            if journal.files.seemsElsewhere { return true }
            guard let directory = try journal.directoryForReading() else { return false }
            return try !Segment.all(in: directory, journal: journal.path()).isEmpty
        }
        guard isClosed else {
            let found = try segment.cell()
            if found?.cell.sequence != sequence { return true }
            return try !segment.isLinked()
        }
        // Only where others follow is a segment removed, or where the journal is.
        if try !segment.isLinked() { return true }
        guard let directory = try journal.directoryForReading() else { return true }
        let last = try Segment.all(in: directory, journal: journal.path()).last ?? 0
        if last > number { return true }
        // The next one may not have its name yet; it has this one's where nothing of this one was read.
        return try attempt("follow", journal.path()) { () throws(Errno) in
            try directory.status(of: Layout.segment(number)).map { $0.inode != segment.inode }
                ?? false
        }
    }
}

extension JournalReader {
    /// Where it has come to.
    var position: JournalPosition {
        JournalPosition(
            journal: journal, segment: segment, sequence: sequence, number: number ?? 1,
            isClosed: isClosed)
    }
}
