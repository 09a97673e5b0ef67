internal import SystemCalls

// `systemd-tmpfiles --clean` takes an exclusive `flock(2)` on each directory before it looks into it, and
// passes over what is locked (measured with version 252, which locks no files; later versions lock both). So
// an open store carries a shared one on its own directory and on `locks`, for as long as it is open.
//
// On local file systems alone: NFS makes such a lock a lock on all bytes of the file, for all hosts.

extension StoreFiles {
    /// Keeps cleaners out of the store that come from above.
    ///
    /// Where a cleaner is inside, this does not wait: it may be there for long.
    static func keepCleanersOut(of root: Directory) { _ = try? root.share() }

    /// Keeps cleaners out of `locks`, which is done when this returns: what is removed there lets a second
    /// holder in.
    ///
    /// A cleaner that is in there is waited for; it needs milliseconds. A process that keeps the directory
    /// locked for other reasons delays each opening by a second, and prevents nothing: a file that is removed
    /// under a lock is noticed after locking, and again at the release.
    func keepCleanersOut(ofLocks locks: Directory) {
        guard isLocal else { return }
        var pause = Pause()
        let deadline = BootTime.now.advanced(by: .seconds(1))
        // Other errors say that there are no such locks here.
        while (try? locks.share()) == false, BootTime.now < deadline { pause.next(until: deadline) }
    }
}
