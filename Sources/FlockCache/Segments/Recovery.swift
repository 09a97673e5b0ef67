internal import SystemCalls

/// Finds the ends of segments whose cells do not tell it: after another boot, in a copy, without a valid cell.
///
/// Of the records that were appended before a power cut some of the last may be missing, and the cells may be older or
/// newer than the records. The chain of checks decides: what is complete and fits stands, also behind the cell's end;
/// the first record that does not ends the segment. Killed anywhere, it begins again.
struct Recovery {
    private let journal: SegmentedJournal
    private let directory: Directory
    private let boot: BootID

    init(_ journal: SegmentedJournal, _ directory: Directory, _ boot: BootID) {
        self.journal = journal
        self.directory = directory
        self.boot = boot
    }

    /// Recovers a journal whose lock is held, and returns the cell of its last segment from then on.
    ///
    /// - Parameters:
    ///   - last: its last segment.
    ///   - names: all segments.
    ///   - found: the last segment's cell, nil where neither is valid.
    func recover(
        _ last: Segment, _ names: [UInt64], _ found: (cell: JournalCell, index: Int)?
    ) throws(StoreError) -> (cell: JournalCell, index: Int) {
        try closeEarlier(names)
        let scan = SegmentScan(last)
        while case .record = try scan.next() {}
        return try rewrite(last, found, end: scan.end, time: scan.time)
    }

    /// Closes the segments before the last whose closing the device has lost.
    private func closeEarlier(_ names: [UInt64]) throws(StoreError) {
        for position in stride(from: names.count - 2, through: 0, by: -1) {
            guard
                let segment = try Segment.open(
                    names[position], in: directory, .readWrite, journal: journal.path())
            else { continue }
            let found = try segment.cell()
            if found?.cell.isClosed == true { return }
            let records = names[position + 1] - segment.first
            let scan = SegmentScan(segment)
            while scan.end.records < records, case .record = try scan.next() {}
            // The next segment says how many there were: readers are told of those that are missing.
            var end = scan.end
            end.records = records
            _ = try rewrite(segment, found, end: end, time: scan.time, closed: true)
        }
    }

    private func rewrite(
        _ segment: Segment, _ found: (cell: JournalCell, index: Int)?, end: JournalCell.End,
        time: Int64, closed: Bool = false
    ) throws(StoreError) -> (cell: JournalCell, index: Int) {
        var cell = JournalCell(salt: segment.salt, inode: segment.inode, boot: boot)
        cell.sequence = (found?.cell.sequence ?? 0) + 1
        cell.isClosed = closed
        cell.committed = end
        cell.written = end
        cell.time = time
        // How much room there is behind it nobody knows: a copy may have holes.
        cell.allocated = end.offset
        let index = found.map { 1 - $0.index } ?? 0
        // A copy may not be on the device yet.
        if journal.files.isDurable { try segment.sync() }
        try segment.write(cell, at: index)
        return (cell, index)
    }
}
