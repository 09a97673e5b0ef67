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

    private struct State {
        var file: ShardFile?
        /// When counting is to look at the directories again.
        var nextLook = BootTime(nanoseconds: 0)
    }

    private let mutex = ThreadMutexes(count: 1)
    private nonisolated(unsafe) var state = State()

    init(_ files: StoreFiles, _ board: BoardAccess) {
        self.files = files
        self.board = board
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

    /// The same for who only reads: nil where nothing was ever written, so that looking at an empty
    /// store does not write to it.
    func fileForReading() throws(StoreError) -> ShardFile? {
        if let known = withState({ $0.file }) { return known }
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
