internal import SystemCalls

/// The file of a counter, open for reading and writing.
///
/// While it is open its inode is no other file's: so a name that has that inode is its name.
final class CounterFile: Sendable {
    let file: File
    let name: EntryName
    /// Of its claim section, which never changes.
    let claimSection: Checksum
    private let device, inode: UInt64

    init(
        _ file: consuming File, of name: EntryName, _ claimSection: Checksum, _ status: FileStatus
    ) {
        self.file = file
        self.name = name
        self.claimSection = claimSection
        device = status.device
        inode = status.inode
    }

    /// Whether it is the file of which that was said.
    func isFile(_ status: FileStatus) -> Bool {
        status.inode == inode && status.device == device && status.isRegular
    }
}

/// The file of the counter that this process has counted last, kept open: who counts, counts again.
///
/// One look at the name then stands for opening and closing, on ext4 a fifth of an increment.
final class KeptCounter: Sendable {
    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var kept: CounterFile?

    /// The file, if it is that of a key.
    func file(of name: EntryName) -> CounterFile? {
        let last = mutex.locked(0) { unsafe kept }
        return last?.name == name ? last : nil
    }

    /// Keeps a file in the place of another one; nil keeps none.
    ///
    /// None where synchronising has failed: the kernel tells that once for each open file.
    func keep(_ file: CounterFile?) {
        // The other one is closed when the mutex is free again.
        var other = file
        mutex.locked(0) { unsafe swap(&kept, &other) }
    }
}
