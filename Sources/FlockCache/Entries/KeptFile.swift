internal import SystemCalls

/// A key's file, open for reading and writing, and what is known of it that never changes.
///
/// While it is open its inode is no other file's: so a name that has that inode is its name.
final class OpenedFile<Known: Sendable>: Sendable {
    let file: File
    let name: EntryName
    let known: Known
    private let device, inode: UInt64

    init(
        _ file: consuming File, of name: EntryName, knowing known: Known, _ status: FileStatus
    ) {
        self.file = file
        self.name = name
        self.known = known
        device = status.device
        inode = status.inode
    }

    /// Whether it is the file of which that was said.
    func isFile(_ status: FileStatus) -> Bool {
        status.inode == inode && status.device == device && status.isRegular
    }
}

/// A counter's file, with the checksum of its claim section.
typealias CounterFile = OpenedFile<Checksum>

/// A lease's file, with its path below the store.
typealias LeaseRecord = OpenedFile<FileName>

/// The file that this process has changed last in place, kept open: who counts, counts again, and who renews a lease,
/// renews it again.
///
/// One look at the name then stands for opening and closing, on ext4 a fifth of an increment.
final class KeptFile<Known: Sendable>: Sendable {
    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var kept: OpenedFile<Known>?

    /// The file, if it is that of a key.
    func file(of name: EntryName) -> OpenedFile<Known>? {
        let last = mutex.locked(0) { unsafe kept }
        return last?.name == name ? last : nil
    }

    /// Keeps a file in the place of another one; nil keeps none.
    ///
    /// None where synchronising has failed: the kernel tells that once for each open file.
    func keep(_ file: OpenedFile<Known>?) {
        // The other one is closed when the mutex is free again.
        var other = file
        mutex.locked(0) { unsafe swap(&kept, &other) }
    }
}
