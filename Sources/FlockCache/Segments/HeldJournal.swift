internal import SystemCalls

/// A journal whose lock this thread has; dropped, it is released, and those who follow it are woken.
///
///
///     var held = try HeldJournal(SegmentedJournal(.changes, of: files, locks, board))
///     try held.ensureRoom(JournalFrame.size(of: record.count), reserve: 16 << 10)
///     let number = held.next
///     try held.append([record])          // the record of that number, committed
///     try held.record(number)            // its bytes, also where another process has only written it
///
/// While this value lives no other thread or process appends to the journal, trims or removes it. Hold it for
/// microseconds. Order of locks: a thread takes it under the mutex of a shard or under none, and takes no mutex of a
/// shard under it.
struct HeldJournal: ~Copyable {
    let journal: SegmentedJournal
    /// The last segment, which is open; another one after a rotation.
    var segment: Segment
    /// The cell of it that counts, and which of the two it is.
    var cell: JournalCell
    var index: Int
    /// Whether something is to be told to followers.
    var hasNews = false
    /// False while a sync goes on, and where the lock could not be taken again after one.
    var isHeld = true

    /// The number that the next record gets.
    var next: UInt64 { segment.first + cell.written.records }

    /// Takes the lock of a journal, makes the journal where there is none, and recovers what another boot left.
    ///
    /// - Parameter patience: how long to wait for the lock.
    /// - Throws: `.timedOut` with the process that has the lock; `.readOnly`, `.noSpace` and other failures of the
    ///   system, after which nothing has changed.
    init(
        _ journal: SegmentedJournal, patience: Duration = Limits.patience
    ) throws(StoreError) {
        guard !journal.files.isReadOnly else {
            throw StoreError(Errno.readOnly, "append to the journal", path: journal.path())
        }
        try journal.lock(patience)
        do throws(StoreError) {
            let found = try Self.lastSegment(of: journal)
            self.journal = journal
            segment = found.segment
            cell = found.cell
            index = found.index
        } catch {
            journal.unlock()
            throw error
        }
    }

    deinit {
        if isHeld { journal.unlock() }
        if hasNews { journal.tellFollowers() }
    }

    // MARK: The last segment

    /// A segment that can be appended to.
    struct Open {
        let segment: Segment
        let cell: JournalCell
        let index: Int
    }

    /// The open segment of a journal whose lock is held.
    ///
    /// The one that was last used still is it in nearly all cases: it has a name and its cell says that it is open.
    static func lastSegment(of journal: SegmentedJournal) throws(StoreError) -> Open {
        let boot = try journal.files.place().boot
        if let known = journal.knownSegment, try known.isLinked(), let found = try known.cell(),
            !found.cell.isClosed, found.cell.isTrusted(in: journal, known, boot)
        {
            return Open(segment: known, cell: found.cell, index: found.index)
        }
        journal.knownSegment = nil
        // More than once only where directories are removed meanwhile.
        for _ in 0..<5 {
            do throws(StoreError) {
                let found = try findLastSegment(of: journal, boot)
                journal.knownSegment = found.segment
                return found
            } catch {
                guard error.systemError == Errno.noEntry.code else { throw error }
                journal.forgetDirectory()
            }
        }
        throw .replaced(journal.path())
    }

    private static func findLastSegment(
        of journal: SegmentedJournal, _ boot: BootID
    ) throws(StoreError) -> Open {
        let directory = try journal.directory()
        let names = try Segment.all(in: directory, journal: journal.path())
        guard let last = names.last else {
            let fresh = try NewSegment(1, in: journal, directory, boot, room: 0)
            return try fresh.publish()
        }
        let segment = try Self.open(last, of: journal, directory)
        var found = try segment.cell()
        if found.map({ $0.cell.isTrusted(in: journal, segment, boot) }) != true {
            found = try Recovery(journal, directory, boot).recover(segment, names, found)
        }
        guard let found else { throw .damagedSegment(segment.path) }
        guard found.cell.isClosed else {
            if journal.files.isDurable {
                // Whoever made it may have been killed before its name was on the device.
                try attempt("synchronise", journal.path()) { () throws(Errno) in
                    try directory.sync()
                }
            }
            return Open(segment: segment, cell: found.cell, index: found.index)
        }
        return try next(after: segment, found.cell, of: journal, directory, boot)
    }

    /// The segment behind a closed one: a process that closed it was killed before it gave the next one its name.
    private static func next(
        after segment: Segment, _ cell: JournalCell, of journal: SegmentedJournal,
        _ directory: Directory, _ boot: BootID
    ) throws(StoreError) -> Open {
        let first = segment.first + cell.written.records
        let fresh = try NewSegment(first, in: journal, directory, boot, room: 0)
        return try fresh.publish(replacing: first == segment.first)
    }

    private static func open(
        _ first: UInt64, of journal: SegmentedJournal, _ directory: Directory
    ) throws(StoreError) -> Segment {
        guard
            let segment = try Segment.open(
                first, in: directory, .readWrite, journal: journal.path())
        else { throw StoreError(.noEntry, "open", path: journal.path(Layout.segment(first))) }
        return segment
    }

    // MARK: The cell

    /// Writes the cell that does not count, which counts from then on.
    ///
    /// Where it fails nothing has changed.
    mutating func commit(_ changed: JournalCell) throws(StoreError) {
        var changed = changed
        changed.sequence = cell.sequence + 1
        try segment.write(changed, at: 1 - index)
        cell = changed
        index = 1 - index
    }
}

extension JournalCell {
    /// Whether the cell tells what the segment holds: it was written in this boot and in this very file.
    ///
    /// On a network the boot may be another machine's, and nothing of a file that was unlocked is lost with it.
    ///
    /// - Parameter boot: nil where it is not known, and nothing can be concluded.
    func isTrusted(in journal: SegmentedJournal, _ segment: Segment, _ boot: BootID?) -> Bool {
        let isOfThisBoot = boot == nil || self.boot == boot || !journal.files.isLocal
        return isClosed || inode == segment.inode && isOfThisBoot
    }
}
