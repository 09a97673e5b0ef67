internal import SystemCalls

// Replacing an incomplete marker. Earlier versions did not synchronise the marker of a store that is not
// durable, so a power cut seconds after the first use left it empty; a device that reports writes as done too
// early still can.

extension StoreFiles {
    /// Replaces an incomplete marker; returns the marker that is valid afterwards.
    ///
    /// `.torn` is returned where the directory holds nothing but the incomplete marker and the store is only
    /// read: there is no store yet.
    ///
    /// Guarantees:
    /// - A directory that holds anything but a store's own files is refused and not changed.
    /// - Exactly one of several processes replaces the marker, under a lock on the incomplete file. The others
    ///   read the new one. A complete marker is never replaced.
    /// - A process killed at any call leaves the incomplete marker or the complete one, and at most a file with
    ///   a private name, which `reap` removes.
    /// - A writer waits ten seconds for a stopped process that holds the lock, then fails. A reader does not
    ///   wait.
    ///
    /// Settings: the permissions are those of the directory `locks`, which never grant more than the lost
    /// marker did. The store is not durable: the marker of a durable store has always been synchronised, so an
    /// incomplete one belonged to a store that was not. Where there are no directories yet, the store gets the
    /// settings it is opened with.
    ///
    /// Where the marker cannot be written (permissions, read-only or full file system), the settings found are
    /// used without it, so that reading and operations that need no space continue to work.
    static func mendMarker(
        _ root: Directory, _ path: String, making new: Marker?
    ) throws(StoreError) -> MarkerFile {
        let (isOurs, kept) = try attempt("open the store", path) { () throws(Errno) in
            (try hasOnlyOwnNames(root), try keptSettings(root))
        }
        guard isOurs else {
            throw .notAStore(
                path,
                "its file flock-cache is incomplete, and the directory holds files of other programs"
            )
        }
        guard let found = kept ?? new else { return .torn }
        try checkOwner(root, path, found)
        do throws(Errno) {
            let limit = TimeLimit(new == nil ? .zero : Limits.patience)
            if try !replace(root, with: found, until: limit), new != nil {
                throw Errno.wouldBlock
            }
        } catch {
            switch error {
            case .noEntry, .readOnly, .noPermission, .notPermitted, .noSpace, .overQuota: break
            case .wouldBlock: throw .stuck(path, behind: nil, after: Limits.patience)
            default: throw StoreError(error, "replace the incomplete marker of", path: path)
            }
        }
        // It may also have been replaced by another process, with other settings.
        let now = try readMarkerFile(root, path)
        if case .torn = now { return .whole(found) }
        return now
    }

    /// Replaces the marker if it is incomplete; false if another process holds its lock at the deadline.
    private static func replace(
        _ root: Directory, with marker: Marker, until limit: TimeLimit
    ) throws(Errno) -> Bool {
        let torn = try root.openLockFile(Layout.marker, .readWrite)
        guard try lock(torn, until: limit) else { return false }
        // Also keeps the file open until then: it could be closed, and unlocked, after its last use.
        defer { torn.unlock(at: 0) }
        // Another process may have replaced it before this one opened the file (then the contents are
        // complete) or afterwards (then the name belongs to another file). The number of links proves
        // nothing: a copied store may have a hard link to the same file.
        let text = try torn.contents(upTo: Marker.mostBytes + 1)
        if try isNamed(torn, root), Marker.read(text) == .torn {
            try writeMarker(marker, root, replacing: true)
        }
        return true
    }

    /// Locks an incomplete marker; false if the deadline passes first.
    private static func lock(
        _ torn: borrowing LockFile, until limit: TimeLimit
    ) throws(Errno) -> Bool {
        while try !torn.tryLock(.exclusive, at: 0) {
            if limit.isOver { return false }
            sleep(nanoseconds: 1_000_000)
        }
        return true
    }

    /// Whether the marker's name refers to this file.
    private static func isNamed(
        _ file: borrowing LockFile, _ root: Directory
    ) throws(Errno) -> Bool {
        let (mine, named) = (try file.status(), try root.status(of: Layout.marker))
        return named?.device == mine.device && named?.inode == mine.inode
    }

    /// Whether a directory holds only names that a store uses, each of the right file type.
    private static func hasOnlyOwnNames(_ root: Directory) throws(Errno) -> Bool {
        var hasOnlyOwn = true
        try unsafe root.forEachName { (name) throws(Errno) in
            let name = unsafe FileName(name)
            // Removed since the directory was read.
            guard let status = try root.status(of: name) else { return true }
            hasOnlyOwn =
                switch name {
                case Layout.marker, Layout.board: status.isRegular
                case Layout.entries, Layout.locks, Layout.leases, Layout.damaged, Layout.journal:
                    status.isDirectory
                default:
                    status.isDirectory
                        ? Layout.isPrivate(name.bytes)
                        : name.bytes.starts(with: Layout.markerPrefix) && status.isRegular
                }
            return hasOnlyOwn
        }
        return hasOnlyOwn
    }

    /// The settings that the store's directories imply; nil if there are none yet.
    private static func keptSettings(_ root: Directory) throws(Errno) -> Marker? {
        var status = try root.status(of: Layout.locks)
        // A store without `locks` stays refused, except for reads, which need none.
        if status == nil { status = try root.status(of: Layout.entries) }
        guard let status else { return nil }
        // The set-group-ID bit alone proves nothing, because directories inherit it.
        let mode = status.mode & 0o770
        let isShared = status.mode & 0o2000 != 0 && Marker.isAcceptable(mode: mode)
        // A store that tells of its changes has this file from its first change on.
        var hasJournal = false
        do throws(Errno) {
            hasJournal =
                try root.openDirectory(Layout.locks).status(of: Layout.intents) != nil
        } catch {
            if error != .noEntry { throw error }
        }
        return Marker(
            mode: isShared ? mode : 0o700, isDurable: false, hasJournal: hasJournal)
    }
}
