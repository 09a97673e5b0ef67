internal import SystemCalls

// On a full disk, abandoning, releasing, renewing, removing, counting and locking still work: they need no new blocks.
// btrfs writes nothing in place unless it is told to, and XFS needs room to make a file; so both are seen to when
// `locks` and `leases` are made.

extension StoreFiles {
    /// Prepares a directory that has just been made for a full disk.
    ///
    /// Best effort: what a process makes in it before, or what a kill or a file system prevents, works until the disk
    /// is full.
    func prepareForFullDisk(_ name: FileName, in parent: Directory) {
        guard fileSystem == "btrfs" || fileSystem == "xfs",
            name == Layout.locks || name == Layout.leases,
            let directory = try? parent.openDirectory(name)
        else { return }
        if fileSystem == "btrfs" {
            try? directory.writeInPlace()
        } else if name == Layout.locks {
            makeAllLockFiles(in: directory)
        }
    }

    private func makeAllLockFiles(in locks: Directory) {
        for index in 0..<64 {
            try? marker.makeFile(Layout.lockTable(index), in: locks, of: root)
            try? marker.makeFile(Layout.sessions(index), in: locks, of: root)
        }
    }
}
