internal import SystemCalls

/// What a journal has, without its lock: its segments, of which each begins where the one before ends.
struct JournalSurvey {
    struct Part {
        let first: UInt64
        /// Records that can be read, or could before the device lost some.
        let records: UInt64
        /// Bytes of the file up to the end of the last of them.
        let bytes: Int
        /// Of the last record.
        let time: Int64
        let inode: UInt64
    }

    /// From the oldest to the last; not empty.
    let parts: [Part]

    var first: UInt64 { parts[0].first }
    /// One below `first` where there is no record.
    var last: UInt64 {
        let part = parts[parts.count - 1]
        return part.first + part.records - 1
    }
    var kept: ClosedRange<UInt64>? { last >= first ? first...last : nil }
    var bytes: Int { parts.reduce(0) { clampedSum($0, $1.bytes) } }

    /// nil where there is no journal.
    ///
    /// Only the last segments that follow one another count: a power cut may leave segments that trimming has removed
    /// already.
    init?(of journal: SegmentedJournal) throws(StoreError) {
        guard let directory = try journal.directoryForReading() else { return nil }
        let names = try Segment.all(in: directory, journal: journal.path())
        var parts: [Part] = []
        for position in names.indices.reversed() {
            let next = position + 1 < names.count ? names[position + 1] : nil
            // Trimmed meanwhile, and with it all before it.
            guard
                let segment = try Segment.open(
                    names[position], in: directory, .read, journal: journal.path())
            else { break }
            let part = try Self.part(segment, next: next, of: journal)
            if let next, part.first + part.records != next { break }
            parts.append(part)
        }
        guard !parts.isEmpty else { return nil }
        self.parts = parts.reversed()
    }

    private static func part(
        _ segment: Segment, next: UInt64?, of journal: SegmentedJournal
    ) throws(StoreError) -> Part {
        let found = try segment.cellForReading()
        let boot = try journal.files.placeIfKnown()?.boot
        if let cell = found, cell.isTrusted(in: journal, segment, boot) {
            return Part(
                first: segment.first, records: cell.committed.records,
                bytes: cell.committed.offset, time: cell.time, inode: segment.inode)
        }
        let scan = SegmentScan(segment)
        let most = next.map { $0 - segment.first }
        while scan.end.records != most, case .record = try scan.next() {}
        return Part(
            first: segment.first, records: most ?? scan.end.records, bytes: scan.end.offset,
            time: scan.time, inode: segment.inode)
    }
}

extension SegmentedJournal {
    /// The journal's directory; nil where there is none.
    func directoryForReading() throws(StoreError) -> Directory? {
        do throws(Errno) {
            return try files.root.openDirectory(beneath: Layout.journalPath(name.directory))
        } catch {
            if error == .noEntry { return nil }
            throw StoreError(error, "open", path: path())
        }
    }
}

extension Segment {
    /// The cell that counts, for who has no lock: both may be invalid while two writers follow one another.
    func cellForReading() throws(StoreError) -> JournalCell? {
        for _ in 0..<20 {
            if let found = try cell() { return found.cell }
            yieldProcessor()
        }
        return nil
    }
}
