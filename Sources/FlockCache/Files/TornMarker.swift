internal import SystemCalls

// A marker that a power cut has left empty or torn, as earlier versions could, which did not synchronise
// it, and as a device can that says "written" too early.

extension OpenStore {
    /// Writes a torn marker anew, and returns what counts from now on; torn where there is no store yet.
    ///
    /// Promises: a directory with anything that is not a store's own is refused and not touched; of rivals one
    /// writes, under a lock on the torn file, and all others read what it wrote; whoever has a whole marker
    /// before him never sees it replaced. Killed at any call this leaves the torn marker or the whole one, and
    /// at most a private file. Behind a rival that is stopped whoever is to write waits ten seconds and is told;
    /// whoever reads does not wait.
    ///
    /// The lost settings: the permissions are those that the directory of the locks has, which never give more
    /// than the marker did, and the store is not durable: the marker of a durable one has always been
    /// synchronised, so that a torn one was of a store that was not. Where there is no more than the marker,
    /// the store is made as asked for, and who only reads finds none.
    ///
    /// Where it cannot be written (no permission, read-only, full) the settings found are used as they are, so
    /// that reading and what needs no room go on.
    static func mendMarker(
        _ root: Directory, _ path: String, making new: Marker?
    ) throws(StoreError) -> MarkerFile {
        let isOurs = try attempt("open the store", path) { () throws(Errno) in
            try hasOnlyOwnNames(root)
        }
        guard isOurs else {
            throw .notAStore(
                path, "its file flock-cache is torn, and there is more than a store's own files")
        }
        let kept = try attempt("open the store", path) { () throws(Errno) in
            try keptSettings(root)
        }
        guard let found = kept ?? new else { return .torn }
        try checkOwner(root, path, found)
        do throws(Errno) {
            let torn = try root.openLockFile(Layout.marker, .readWrite)
            let deadline = BootTime.now.advanced(by: new == nil ? .zero : ShardMutex.patience)
            guard try lock(torn, until: deadline) else {
                if new == nil { return .whole(found) }
                throw Errno.wouldBlock
            }
            // Only who has the lock on the torn file replaces it, and a rival may have before this one
            // opened it, or after. The name decides, not the number of links: a copied store may have a
            // hard link to the same file.
            let text = try torn.contents(upTo: Marker.mostBytes + 1)
            let isNamed = try isNamed(torn, root)
            if isNamed && Marker.read(text) == .torn {
                try writeMarker(found, root, replacing: true)
            }
        } catch {
            switch error {
            case .noEntry: return .none
            case .readOnly, .noPermission, .notPermitted, .noSpace, .overQuota:
                return .whole(found)
            case .wouldBlock: throw .stuck(path, behind: nil, after: ShardMutex.patience)
            default: throw StoreError(error, "write the torn marker anew of", path: path)
            }
        }
        return try readMarkerFile(root, path)
    }

    /// Takes the lock on a torn marker by trying; false when the time is over.
    private static func lock(
        _ torn: borrowing LockFile, until deadline: BootTime
    ) throws(Errno) -> Bool {
        while try !torn.tryLock(.exclusive, at: 0) {
            if BootTime.now >= deadline { return false }
            sleep(nanoseconds: 1_000_000)
        }
        return true
    }

    /// Whether a file is the one that has the marker's name.
    private static func isNamed(
        _ file: borrowing LockFile, _ root: Directory
    ) throws(Errno) -> Bool {
        let (mine, named) = (try file.status(), try root.status(of: Layout.marker))
        return named?.device == mine.device && named?.inode == mine.inode
    }

    /// Whether all names in a directory are of a store, and of the kinds that a store has.
    private static func hasOnlyOwnNames(_ root: Directory) throws(Errno) -> Bool {
        var hasOnlyOwn = true
        try root.forEachName { (name) throws(Errno) in
            let name = FileName(name)
            // Gone since it was read: it belongs to whoever removed it.
            guard let status = try root.status(of: name) else { return true }
            hasOnlyOwn =
                switch name {
                case Layout.marker, Layout.board: status.isRegular
                case Layout.entries, Layout.locks, Layout.leases, Layout.damaged: status.isDirectory
                default: name.bytes.starts(with: Layout.markerPrefix) && status.isRegular
                }
            return hasOnlyOwn
        }
        return hasOnlyOwn
    }

    /// The settings of a store as its directories tell them; nil where it has none yet.
    private static func keptSettings(_ root: Directory) throws(Errno) -> Marker? {
        var status = try root.status(of: Layout.locks)
        // Nobody makes new locks; what can be done without works.
        if status == nil { status = try root.status(of: Layout.entries) }
        guard let status else { return nil }
        // The set-group-ID bit alone proves nothing: directories inherit it.
        let mode = status.mode & 0o770
        let isShared = status.mode & 0o2000 != 0 && Marker.isAcceptable(mode: mode)
        return Marker(mode: isShared ? mode : 0o700, isDurable: false)
    }
}
