internal import SystemCalls

// What is tried out on a file of its own: locks, exclusive creation, names that are given in one step.

extension Doctor {
    func checkTrials() {
        let reason = store.isReadOnly ? "the file system is read-only" : whyNotToWrite
        if let reason {
            for name in ["locks", "names"] {
                report(Finding(.warning, name, "not tried: \(reason)"))
            }
        } else {
            check("locks") { () throws(StoreError) in try locks() }
            check("names") { () throws(StoreError) in try names() }
        }
        checkWaking()
    }

    /// That a user may only read, as in a store of mode 0750, is nothing wrong, and that a disk is full is told already.
    private var whyNotToWrite: String? {
        do throws(StoreError) {
            _ = try withTrialFile { _ throws(Errno) in Finding(.ok, "", "") }
            return nil
        } catch {
            if error.code == .noSpace { return "there is no room" }
            return error.systemError == Errno.noPermission.code
                ? "this user may not write here; run it as a user who may" : nil
        }
    }

    private func locks() throws(StoreError) -> Finding {
        try withTrialFile { (name) throws(Errno) in
            let root = store.root
            let first = try root.openLockFile(name, .readWrite)
            let second = try root.openLockFile(name, .readWrite)
            let keepsOut = try first.with { (first) throws(Errno) -> Bool in
                guard try first.tryLock(.exclusive, at: 0) else { throw Errno.noLocks }
                return try second.with { (second) throws(Errno) -> Bool in
                    guard try !second.tryLock(.exclusive, at: 0) else { return false }
                    return try root.lockExcludesChild(name)
                }
            }
            guard keepsOut else {
                return Finding(
                    .failed, "locks", "a lock does not exclude a second descriptor or process",
                    "this file system cannot be used; use a local disk")
            }
            return Finding(.ok, "locks", "exclude another descriptor and another process")
        }
    }

    private func names() throws(StoreError) -> Finding {
        try withTrialFile { (name) throws(Errno) in
            let root = store.root
            let other = try Marker.privateName()
            defer { _ = try? root.unlink(other) }
            func isRefused(_ body: () throws(Errno) -> Void) throws(Errno) -> Bool {
                do throws(Errno) {
                    try body()
                    return false
                } catch {
                    guard error == .exists else { throw error }
                    return true
                }
            }
            guard try isRefused({ () throws(Errno) in _ = try store.marker.create(name, in: root) })
            else {
                return Finding(
                    .failed, "names", "O_EXCL creates a file that exists",
                    "this file system cannot be used; use a local disk")
            }
            try root.link(name, as: other)
            let linked = try root.status(of: name)?.inode == root.status(of: other)?.inode
            let isExclusive = try isRefused { () throws(Errno) in try root.link(name, as: other) }
            try root.rename(other, to: name)
            // Two names of one file: rename(2) leaves both, and is right to.
            guard linked, isExclusive, try root.status(of: name) != nil else {
                return Finding(
                    .failed, "names", "link(2) or rename(2) does not do what it says",
                    "this file system cannot be used; use a local disk")
            }
            return Finding(.ok, "names", "exclusive creation, link and rename work")
        }
    }

    private func checkWaking() {
        report(
            store.files.mapsBoard && !store.isReadOnly
                ? Finding(.ok, "wake-ups", "through the notification file (shared memory)")
                : Finding(
                    .warning, "wake-ups", "waiters poll, 20 times a second",
                    "ext4, XFS, tmpfs or overlayfs, mounted read-write, wakes them at once"))
    }

    /// Runs a closure with a file that is made for it under a private name, and removed behind it.
    private func withTrialFile(
        _ body: (FileName) throws(Errno) -> Finding
    ) throws(StoreError) -> Finding {
        try attempt("try out", store.path) { () throws(Errno) in
            let name = try Marker.privateName()
            _ = try store.marker.create(name, in: store.root)
            // Where it cannot be removed, `reap` does so in an hour.
            defer { _ = try? store.root.unlink(name) }
            return try body(name)
        }
    }
}
