// Segments: journals as files. Appending, rotation, trimming, reading; nothing here knows sessions or tasks.
//
// A journal is a directory of segments. A segment holds records one behind the other, and two cells that tell where
// the last one ends. Each change is made under the journal's lock, a byte of the lock table:
//
//   append     record behind the end, cell                    the cell decides
//   durable    record, cell (written end); unlocked: sync; locked again: cell (committed end)
//   rotation   new segment under a private name, cell (closed), the new segment gets its name
//   trimming   (for the last segment: rotation,) removal of segments, the oldest first
//
// States of a segment: private, open, closed. States of a record: behind the end (it does not exist and will be
// overwritten), written (durable stores: not read yet), committed.
//
// What could break it:
// - A kill before the cell: the record does not exist. Behind it: it stands. A cell is never written over the current
//   one, so that an incomplete cell leaves the other.
// - A stop under the lock: others wait ten seconds and name the process.
// - A power cut: cells carry the boot id. The first append after another boot walks the segment along the chain of
//   checks, and goes on behind the last complete record (`Recovery`). So it does for a copied file, whose inode differs.
// - A journal or segment that is removed under the lock's holder: the link count, looked at under the lock.
// - A full device: space is allocated before anything is changed; a short write leaves the cell as it was.
// - A failed sync: the segment is closed at its committed end, and another begun. The kernel forgets such errors.
// - A fork: the lock's file is closed in the child, and a child's first call opens everything again.

internal import SystemCalls

/// A journal of an opened store: its directory, its lock and its last segment, kept open between appends.
///
/// One of it belongs to one `StoreFiles`, and so to one side of a fork. Several for one journal exclude one another.
final class SegmentedJournal: Sendable {
    let name: JournalName
    let files: StoreFiles
    let board: BoardAccess
    private let locks: LockTableAccess
    /// Segments are this large, but for one whose first record or batch is larger.
    let segmentByteCount: Int

    /// Used by the thread that has the mutex alone.
    struct State: ~Copyable {
        var lock: LockFile?
        var directory: Directory?
        /// The last segment, as far as this process knows.
        var segment: Segment?
        /// When to look for a board again where there was none.
        var nextLookForBoard = BootTime(nanoseconds: 0)
    }

    private let mutex = ThreadMutexes(count: 1)
    // Between a `lock` of the mutex and the `unlock` alone.
    private nonisolated(unsafe) var state = State()

    init(
        _ name: JournalName, of files: StoreFiles, _ locks: LockTableAccess, _ board: BoardAccess,
        segmentByteCount: Int = segmentByteCountOfTests ?? Limits.segment
    ) {
        self.segmentByteCount = segmentByteCount
        self.name = name
        self.files = files
        self.locks = locks
        self.board = board
    }

    /// The path of the journal, or of a file in it, for messages.
    func path(_ file: FileName? = nil) -> String {
        let directory = files.file(Layout.journalPath(name.directory), in: nil)
        return file.map { directory + "/" + String(decoding: $0.bytes, as: UTF8.self) } ?? directory
    }

    // MARK: The lock

    /// Takes the journal's lock: between the threads of this process, then between processes.
    ///
    /// - Throws: `.timedOut` after that long, with the process that has it.
    func lock(_ patience: Duration) throws(StoreError) {
        let limit = TimeLimit(patience)
        guard mutex.lock(0, until: limit) else {
            throw .stuck(path(), behind: Process.id, after: patience)
        }
        do throws(StoreError) {
            try lockByte(until: limit, patience)
        } catch {
            mutex.unlock(0)
            throw error
        }
    }

    /// Releases it.
    func unlock() {
        _ = unsafe state.lock?.unlock(at: name.lock.journal)
        mutex.unlock(0)
    }

    /// Takes the lock and releases it.
    ///
    /// - Throws: `.timedOut` where another has it for that long.
    func checkLock(patience: Duration) throws(StoreError) {
        try lock(patience)
        unlock()
    }

    private func lockByte(until limit: TimeLimit, _ patience: Duration) throws(StoreError) {
        // Longer than an append takes: of many that contend one goes on undisturbed for a while, which is what makes
        // the most of the processors.
        var pause = Pause(shortest: 200_000, longest: 1_000_000, yields: 1)
        var patience = Patience(patience, until: limit)
        while true {
            if unsafe state.lock == nil { unsafe state.lock = try locks.openFile(for: name.lock) }
            let isLocked = try attempt("lock", locks.path(of: name.lock)) { () throws(Errno) in
                try unsafe state.lock?.tryLock(.exclusive, at: name.lock.journal) == true
            }
            if isLocked {
                let isLinked = try attempt("lock", locks.path(of: name.lock)) { () throws(Errno) in
                    try unsafe state.lock?.isLinked() == true
                }
                if isLinked { return }
                // Removed: a lock there excludes nobody who comes later.
                unsafe state.lock = nil
                continue
            }
            if patience.limit.isOver, !patience.goesOn(behind: lockHolder()) {
                throw .stuck(path(), behind: lockHolder(), after: patience.waited)
            }
            pause.next(until: patience.limit.deadline)
        }
    }

    /// Which process has the journal's lock; nil for none, or where it cannot be seen.
    private func lockHolder() -> Int32? {
        guard let file = unsafe state.lock.take() else { return nil }
        // It is opened again by the next call.
        return LockSearch.holder(of: name.lock.journal, in: file)
    }

    // MARK: Under the lock

    /// The journal's directory, made where it is missing.
    func directory() throws(StoreError) -> Directory {
        if let known = unsafe state.directory { return known }
        var directory = try directoryForReading()
        if directory == nil { directory = try makeDirectory() }
        guard let directory else { throw .replaced(path()) }
        if files.isDurable {
            // Whoever made it may have been killed before this.
            try attempt("synchronise", path()) { () throws(Errno) in
                try directory.openDirectory("..").sync()
                try files.root.sync()
            }
        }
        unsafe state.directory = directory
        return directory
    }

    private func makeDirectory() throws(StoreError) -> Directory {
        _ = try files.locksDirectory()
        try files.makeDirectory(Layout.journal, in: files.root)
        let journals = try attempt("open", files.file(Layout.journal, in: nil)) {
            () throws(Errno) in try files.root.openDirectory(Layout.journal)
        }
        try files.makeDirectory(
            name.directory, in: journals, at: Layout.journalPath(name.directory))
        return try attempt("open", path()) { () throws(Errno) in
            try journals.openDirectory(name.directory)
        }
    }

    /// The last segment as this process knows it; false thereafter where it was removed.
    var knownSegment: Segment? {
        get { unsafe state.segment }
        set { unsafe state.segment = newValue }
    }

    /// Lets go of a directory that was removed.
    func forgetDirectory() {
        unsafe state.directory = nil
        unsafe state.segment = nil
    }

    // MARK: Its followers

    /// Wakes those who follow the journal; call it without the lock.
    func tellFollowers() {
        guard let board = boardForWaking() else { return }
        board.wake(.journal(name), bits: name.wakeBits)
        board.wake(.anything, bits: .max)
    }

    /// Where there was no board a twentieth of a second ago nobody is looked for: a follower that makes one looks
    /// again by itself before that.
    private static let betweenLooksForBoard = Duration.milliseconds(50)

    private func boardForWaking() -> Board? {
        if let known = board.known, known.isCurrent { return known }
        let now = BootTime.now
        let isDue = mutex.locked(0) {
            guard unsafe state.nextLookForBoard <= now else { return false }
            unsafe state.nextLookForBoard = now.advanced(by: Self.betweenLooksForBoard)
            return true
        }
        return isDue ? board.forWaking() : nil
    }
}
