// Mutexes: what excludes processes from one another. Shard mutexes with the blocks that count, session bytes that
// prove liveness, the files of the lock table.
//
// A change of a shard: take the mutex (threads, then processes), `begin` (the block says "changing" and by whom),
// file operations, `commit` (counts, mark cleared), release. The kernel drops a dead process's byte; the mark it
// leaves has the next process count the shard again.
//
// What could break it: a kill anywhere (the mark), a stop (others wait ten seconds and name the process), a file
// that was removed under its lock (`isLinked` after every lock), a fork (lock files are closed in the child), a
// copy of the store (the header names its own file), another boot (the block names its boot).

internal import SystemCalls

/// The shards of an opened store: their mutexes, and the file of mutexes and blocks.
///
/// Order of locks: a thread that has a shard's mutex takes no other shard's. The mutexes of `StoreFiles`,
/// `BoardAccess` and of this are taken for bookkeeping alone, under it or without it.
final class Shards: Sendable {
    let files: StoreFiles
    let board: BoardAccess
    /// Between the threads of this process.
    let mutexes = ThreadMutexes(count: Layout.shardCount)
    /// This process, which a forked child opens the store anew from.
    let processID = Process.id

    private struct State {
        var file: ShardFile?
        /// Its blocks as memory, of a session that makes many changes.
        var mapped: MappedBlocks?
        var changes = 0
        /// When counting is to look at the directories again.
        var nextLook = BootTime(nanoseconds: 0)
    }

    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var state = State()

    init(_ files: StoreFiles, _ board: BoardAccess) {
        self.files = files
        self.board = board
        board.whenFound { [weak self] in self?.noteBoard() }
    }

    private func withState<R>(_ body: (inout State) -> R) -> R {
        mutex.locked(0) { unsafe body(&state) }
    }

    /// When counting is to look at the directories again.
    var nextLook: BootTime {
        get { withState { $0.nextLook } }
        set { withState { $0.nextLook = newValue } }
    }

    /// Whether the file that this process has open was removed.
    var isRemoved: Bool {
        guard let file = withState({ $0.file }) else { return false }
        return (try? file.isLinked()) == false
    }

    /// The file of mutexes and blocks, opened when first needed.
    func file() throws(StoreError) -> ShardFile {
        if let known = withState({ $0.file }) { return known }
        let file = try ShardFile(of: files)
        return withState { state in
            if let known = state.file { return known }
            state.file = file
            return file
        }
    }

    /// A shard's block as it is now, for who looks at a key before he takes the mutex; nil where it tells nothing, or
    /// nothing was changed by this session yet.
    func seenBlock(_ shard: Int) -> ShardBlock? {
        guard files.isLocal, let file = withState({ $0.file }) else { return nil }
        // A hint: where it cannot be read, more is looked at.
        guard let block = (try? file.read(shard, in: wholeMap(of: file))) ?? nil, block.changer == 0
        else { return nil }
        return block
    }

    /// What is mapped, if the file is whole now.
    private func wholeMap(of file: ShardFile) -> MappedBlocks? {
        guard let known = withState({ $0.mapped }), let status = try? file.linkedStatus(),
            status.isWhole(files)
        else { return nil }
        return known
    }

    /// Says that there is a board, where the shards' file is there to say it in: whoever makes that looks for one.
    ///
    /// Where it cannot be said those who are waited for open the board in vain, or wake nobody: then a sleep ends by
    /// itself.
    func noteBoard() {
        guard !files.isReadOnly, let file = (try? fileForReading()) ?? nil else { return }
        try? file.noteBoard()
    }

    /// The blocks of that file as memory, for who has one of its mutexes; nil where they are read and written by
    /// calls.
    ///
    /// - Parameter status: of the file, under the mutex.
    func mapped(_ file: ShardFile, _ status: FileStatus) -> MappedBlocks? {
        let (known, isDue) = withState { state in
            state.changes &+= 1
            return (state.mapped, state.changes == MappedBlocks.firstUse)
        }
        if let known { return status.isWhole(files) ? known : nil }
        guard isDue, let fresh = file.mapped(of: files, status) else { return nil }
        withState { $0.mapped = fresh }
        return fresh
    }

    /// The same for who only reads: nil where nothing was ever written, so that looking at an empty
    /// store does not write to it.
    func fileForReading() throws(StoreError) -> ShardFile? {
        if let known = withState({ $0.file }) { return known }
        files.refresh(Layout.locks)
        let isEmpty = try attempt("read", files.path) { () throws(Errno) in
            if try files.root.status(of: Layout.shardsPath) != nil { return false }
            var isEmpty = true
            do throws(Errno) {
                try unsafe files.root.openDirectory(Layout.entries).forEachName { _ in
                    isEmpty = false
                    return false
                }
            } catch {
                if error != .noEntry { throw error }
            }
            return isEmpty
        }
        return isEmpty ? nil : try file()
    }
}
