internal import SystemCalls

/// The journals that a process has open in one store.
final class OpenJournals: Sendable {
    private let files: StoreFiles
    private let locks: LockTableAccess
    private let board: BoardAccess
    private let mutex = ThreadMutexes(count: 1)

    /// A list, and no dictionary: every command opens a store, and building a generic type takes time.
    ///
    /// It also takes locks of the runtime, which in a forked child no thread may be there to release.
    private final class Entry: Sendable {
        let journal: SegmentedJournal
        let next: Entry?

        init(_ journal: SegmentedJournal, _ next: Entry?) {
            self.journal = journal
            self.next = next
        }
    }

    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var first: Entry?
    private nonisolated(unsafe) var count = 0
    /// Each has three descriptors.
    ///
    /// Beyond that number all are let go of, and opened again by their next use.
    private static let most = 16

    init(_ files: StoreFiles, _ locks: LockTableAccess, _ board: BoardAccess) {
        self.files = files
        self.locks = locks
        self.board = board
    }

    /// The journal of a name, which need not be there.
    func journal(_ name: JournalName) -> SegmentedJournal {
        mutex.locked(0) {
            var entry = unsafe first
            while let known = entry {
                if known.journal.name == name { return known.journal }
                entry = known.next
            }
            if unsafe count >= Self.most { unsafe (first, count) = (nil, 0) }
            let fresh = SegmentedJournal(name, of: files, locks, board)
            unsafe first = unsafe Entry(fresh, first)
            unsafe count += 1
            return fresh
        }
    }

    /// The names of all journals, in the order of their directories' names; of the users', or all.
    func names(ofUsersOnly: Bool) throws(StoreError) -> [JournalName] {
        var names: [JournalName] = []
        try attempt("list", files.file(Layout.journal, in: nil)) { () throws(Errno) in
            do throws(Errno) {
                try unsafe files.root.openDirectory(Layout.journal).forEachName { bytes in
                    if let name = unsafe JournalName(directory: Array(bytes)) {
                        names.append(name)
                    }
                    return true
                }
            } catch {
                if error != .noEntry { throw error }
            }
        }
        if !ofUsersOnly { names.append(.changes) }
        return names.sorted { $0.directory.bytes.lexicographicallyPrecedes($1.directory.bytes) }
    }
}
