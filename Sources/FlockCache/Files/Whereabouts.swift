internal import Synchronization
internal import SystemCalls

// Whether an open store is still the one that other processes find.
//
// A store may be removed, or moved (`mv`, a symbolic link that leads elsewhere by now, another file system mounted
// over it), while a process has it open. Processes that come later make or find another store at the same path, and
// locks and leases of the two exclude nobody of the other. No file of a moved store shows that, so the path is
// compared with the open directory: once a second when the store is used, whenever a lock is released, and before
// `run` publishes.

/// Which store a lock is in, whatever path leads to it.
struct StoreIdentity: Equatable, Sendable {
    let device, inode: UInt64
}

extension StoreFiles {
    static let betweenLooksAtPath = Duration.seconds(1)

    /// Whether the path by which the store was opened leads elsewhere by now, or nowhere.
    ///
    /// False where it cannot be told: for a path that is relative because none from the root leads to the working
    /// directory, and where the way may no longer be entered. After `chroot(2)` a path leads elsewhere.
    var isElsewhere: Bool { Self.isElsewhere(name.bytes, identity) }

    /// The same of a file of the store.
    func isElsewhere(_ file: FileName, _ status: FileStatus) -> Bool {
        Self.isElsewhere(
            Array(name.bytes) + [UInt8(ascii: "/")] + Array(file.bytes),
            StoreIdentity(device: status.device, inode: status.inode))
    }

    private static func isElsewhere(
        _ path: some Collection<UInt8>, _ identity: StoreIdentity
    ) -> Bool {
        guard path.first == UInt8(ascii: "/") else { return false }
        do throws(Errno) {
            let now = try FileStatus.of(path: FileName(Array(path)))
            return now.device != identity.device || now.inode != identity.inode
        } catch {
            return error == .noEntry || error == .notADirectory
        }
    }

    /// The same, looked at once a second at most.
    var seemsElsewhere: Bool {
        let now = BootTime.now
        guard now.nanoseconds >= nextLookAtPath.load(ordering: .relaxed) else { return false }
        if isElsewhere { return true }
        nextLookAtPath.store(
            now.advanced(by: Self.betweenLooksAtPath).nanoseconds, ordering: .relaxed)
        return false
    }
}
