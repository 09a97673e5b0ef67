internal import SystemCalls

// The blocks of `locks/shards` as memory, for who has a mutex of that file: a call less for each look at a block, and
// two less for each change.
//
// Whether that may be done is judged anew under each mutex, by the `fstat` that follows every lock anyway: the file
// has all its bytes, and blocks of the device for them. What is cut off later, while the mutex is held for
// microseconds, is cut by hand, in a store that nobody but its owner may enter; a command survives that too
// (`csystem_survive_cuts`).
//
// Reading is from memory on every local file system that carries a board: a page that is in use is read again from no
// device. Writing is to memory on tmpfs alone, which has no device that could refuse it: elsewhere a file system that
// has failed, or was made read-only, ends a process that writes to memory, where `pwrite` is an error.
//
// Order: the lock and the memory are of one file. The kernel takes the same lock of its own for every byte lock of a
// file, so who has got a mutex sees all that was stored under it before. What a killed process has stored stays.

/// What a process has mapped of a file of shards.
final class MappedBlocks: Sendable {
    private let memory: SharedMemory
    let isWritten: Bool
    /// Whether the file has the word of the board, which older programs did not make.
    private let hasBoardWord: Bool

    private init(_ memory: SharedMemory, isWritten: Bool, hasBoardWord: Bool) {
        self.memory = memory
        self.isWritten = isWritten
        self.hasBoardWord = hasBoardWord
    }

    /// After how many changes of a session its blocks are mapped: a command makes one or two, and mapping costs as
    /// much as it saves in three.
    static let firstUse = 4

    /// Maps the blocks of a file; nil where that is not to be done.
    ///
    /// - Parameter status: of the file, which must be whole.
    convenience init?(_ file: borrowing LockFile, of store: StoreFiles, _ status: FileStatus) {
        guard store.mapsBoard, !store.isReadOnly, !store.marker.isShared,
            status.user == Process.user, status.isWhole(store)
        else { return nil }
        let hasBoardWord = status.size >= ShardFile.byteCount
        guard
            let memory = SharedMemory(
                file, count: hasBoardWord ? ShardFile.byteCount : ShardFile.boardWord)
        else { return nil }
        self.init(memory, isWritten: store.writesByMemory, hasBoardWord: hasBoardWord)
    }

    /// Whether somebody may wait on a board; to be asked after the files were changed.
    ///
    /// A waiter says that there is a board before it looks at the files: who finds that there is none has changed
    /// them before that look.
    var mayHaveBoard: Bool {
        !hasBoardWord || memory.time(at: ShardFile.boardWord).nanoseconds != 0
    }

    func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        unsafe memory.load(bytes, at: offset)
    }

    /// Writes a block.
    ///
    /// Its mark, with the check and the highest generation, is set before the counts and cleared after them: whoever
    /// finds it in between counts anew.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, isMarked: Bool) {
        unsafe memory.store(bytes, at: offset, isMarked ? .beginningFirst : .beginningLast)
    }
}

extension FileStatus {
    /// Whether a file of shards has all its bytes, and what is written to memory needs no room on the device.
    func isWhole(_ store: StoreFiles) -> Bool {
        size >= ShardFile.boardWord && (!store.writesByMemory || allocated >= size)
    }
}
