internal import SystemCalls

// How a lock is lost while it is held: its file is removed, its store moved, or a server takes it back.

extension KeyLock {
    /// Whether the lock's file lost its name, or its path leads elsewhere, since the lock was taken: another process
    /// may have taken the lock too.
    var isLost: Bool {
        // Where that cannot be told nothing says that it was.
        guard let status = (try? withHeldFile { (file) throws(Errno) in try file.status() }) ?? nil
        else { return false }
        return status.links == 0
            || store.files.isElsewhere(Layout.lockTablePath(name.table), status)
    }

    /// Whether the server has taken the lock back from this machine.
    ///
    /// Blocks as long as the server does not answer.
    var isTakenBack: Bool {
        guard store.files.isLeased else { return false }
        do throws(Errno) {
            _ = try withHeldFile { (file) throws(Errno) in try file.readThrough() }
            return false
        } catch {
            // Anything else says nothing of the lock.
            return error == .inputOutput
        }
    }
}
