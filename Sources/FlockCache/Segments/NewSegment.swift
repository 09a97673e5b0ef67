internal import SystemCalls

/// A segment that is being made, under a private name, by the process that has the journal's lock.
///
/// Killed before `publish` it leaves that name, which the next process that makes a segment of the journal replaces, and
/// which `reap` removes.
struct NewSegment: ~Copyable {
    private let segment: Segment
    private let cell: JournalCell
    private let journal: SegmentedJournal
    private let directory: Directory

    /// Makes the file with its header, its cells and room for so many bytes.
    ///
    /// - Parameter first: the number of its first record.
    init(
        _ first: UInt64, in journal: SegmentedJournal, _ directory: Directory, _ boot: BootID,
        room: Int
    ) throws(StoreError) {
        let marker = journal.files.marker
        let salt = try attempt("get random numbers", nil) { () throws(Errno) in
            UInt32(truncatingIfNeeded: try randomBits())
        }
        let header = JournalHeader(first: first, salt: salt)
        let (segment, allocated) = try attempt("make", journal.path(Layout.newSegment)) {
            () throws(Errno) in
            // Left by a process that was killed: whoever has the lock is the only one to make any.
            try directory.unlink(Layout.newSegment)
            let file = try directory.open(
                Layout.newSegment, .createNew(mode: marker.fileMode))
            do throws(Errno) {
                if marker.isShared { try file.changeMode(to: marker.fileMode) }
                let allocated = try file.allocateRoom(
                    room, from: JournalCell.firstFrame, upTo: journal.segmentByteCount)
                try file.write(header.bytes, at: 0)
                let inode = try file.status().inode
                return (
                    Segment(file, header, inode: inode, in: journal.path()), allocated
                )
            } catch {
                // What is left is replaced by the next.
                _ = try? directory.unlink(Layout.newSegment)
                throw error
            }
        }
        var cell = JournalCell(salt: salt, inode: segment.inode, boot: boot)
        cell.sequence = 1
        cell.allocated = allocated
        try segment.write(cell, at: 0)
        // In every store: a power cut that leaves the name and not the header would make the journal useless.
        try segment.sync()
        self.segment = segment
        self.cell = cell
        self.journal = journal
        self.directory = directory
    }

    /// Gives it the name of its first record: from now on it is the last segment.
    ///
    /// - Parameter replacing: the segment of that name, which has no record that was ever read, is replaced.
    consuming func publish(replacing: Bool = false) throws(StoreError) -> HeldJournal.Open {
        let name = Layout.segment(segment.first)
        try attempt("make", segment.path) { () throws(Errno) in
            if replacing {
                try directory.rename(Layout.newSegment, to: name)
            } else {
                try directory.give(name, to: Layout.newSegment)
            }
            if journal.files.isDurable { try directory.sync() }
        }
        journal.knownSegment = segment
        return HeldJournal.Open(segment: segment, cell: cell, index: 0)
    }
}

extension Directory {
    /// Renames a file, unless the new name is taken.
    fileprivate func give(_ name: FileName, to file: FileName) throws(Errno) {
        do throws(Errno) {
            try renameNew(file, to: name, in: self)
        } catch {
            guard error == .invalid else { throw error }
            // Killed between these, the file keeps both names until another segment is made.
            try link(file, as: name)
            try unlink(file)
        }
    }
}

extension File {
    /// Room is allocated in such steps.
    static let roomStep = 64 << 10

    /// Has blocks for so many bytes from an offset on, and for some more where there is space, and returns up to where.
    ///
    /// - Parameter most: nothing is allocated behind it but what is needed.
    /// - Throws: `.noSpace`, `.overQuota`, `.fileTooBig`, and others, after which nothing has changed.
    borrowing func allocateRoom(
        _ count: Int, from offset: Int, upTo most: Int
    ) throws(Errno) -> Int {
        let limit = File.sizeLimit
        let needed = offset + count
        // Not by trying: it would raise SIGXFSZ.
        guard needed <= limit else { throw .fileTooBig }
        let step = Self.roomStep
        let stepped = min(most, (max(needed, offset + 1) + step - 1) / step * step)
        let wanted = min(limit, max(needed, stepped))
        guard wanted > offset else { return offset }
        do throws(Errno) {
            do throws(Errno) {
                try allocate(wanted - offset, at: offset)
                return wanted
            } catch {
                guard error == .noSpace || error == .overQuota, needed > offset else { throw error }
                try allocate(count, at: offset)
                return needed
            }
        } catch {
            switch error {
            case .notSupported, .notImplemented, .noDevice:
                // Without it writes may fail for lack of space, and nothing worse.
                return wanted
            default: throw error
            }
        }
    }
}
