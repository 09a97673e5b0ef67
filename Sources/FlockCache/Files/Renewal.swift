internal import SystemCalls

// Cleaners by age remove what looks old: systemd-tmpfiles what no time of is young, tmpreaper and tmpwatch
// what was not read lately. A file of locks that loses its name is the worst that can happen to a store: its
// locks exclude nobody who comes later.
//
// So times are renewed on use, when they are older than an hour. In the common case that costs no call: the
// `fstat` that must follow each lock yields the times. What is held for longer than a cleaner's limit
// without being used is kept by a shared `flock(2)` on its directory; see Opening/Cleaners.swift.

extension FileStatus {
    /// Less by far than any cleaner's limit, and long enough to cost nothing.
    private static let renewalAge: Int64 = 3600 * 1_000_000_000

    /// Whether the times are to be renewed.
    ///
    /// The older one counts: some cleaners look at one alone.
    var looksOld: Bool { min(accessed, modified) < WallClock.nanoseconds - Self.renewalAge }
}

extension LockFile {
    /// Whether the file still has a name, to be asked after taking a lock: otherwise the lock excludes
    /// nobody who comes later.
    @inline(__always)
    borrowing func isLinked() throws(Errno) -> Bool { try linkedStatus() != nil }

    /// The same, and what else `fstat` says of it.
    @inline(__always)
    borrowing func linkedStatus() throws(Errno) -> FileStatus? {
        let status = try status()
        guard status.links > 0 else { return nil }
        // Not permitted to readers of another user's store, whose owner does it.
        if status.looksOld { _ = try? renew() }
        return status
    }
}

extension Directory {
    /// Renews the times of the marker, the board, the directories and all files of locks, once an hour: a
    /// store that is in use has no part that looks old, whichever parts are used.
    ///
    /// A store that is only read would otherwise lose its files of locks first, and then `locks` itself.
    /// Killed in the middle: the rest is renewed an hour later.
    ///
    /// - Parameter marker: what `stat` says of the file `flock-cache` of this directory.
    func renewStore(_ marker: FileStatus) {
        guard marker.looksOld else { return }
        // Read-only, or another user's: so is the rest.
        guard (try? touch(Layout.marker)) != nil else { return }
        for name in [Layout.board, Layout.locks, Layout.entries, Layout.leases, Layout.journal] {
            // Not there yet.
            _ = try? touch(name)
        }
        // Hints for cleaners: where this fails, nothing else does.
        guard let locks = try? openDirectory(Layout.locks) else { return }
        _ = unsafe try? locks.forEachName { name throws(Errno) in
            _ = unsafe try? locks.touch(FileName(name))
            return true
        }
    }
}
