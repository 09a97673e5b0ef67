internal import SystemCalls

// How a directory becomes a store. The marker appears first, and whole; then the directories, which
// every opener makes where they are missing. So any number of processes may make one store at once.

extension StoreFiles {
    /// Opens the directory; nil when it is not there and is not to be made.
    static func openRoot(
        _ name: FileName, _ path: String, making new: Marker?, allowing allowed: [String]
    ) throws(StoreError) -> Directory? {
        guard !name.bytes.isEmpty else { throw .notAStore("", "the path is empty") }
        do throws(Errno) {
            return try Directory.open(path: name)
        } catch {
            var error = error
            if error == .noEntry, new == nil {
                do throws(Errno) {
                    return try openAnew(name)
                } catch let again {
                    error = again
                }
            }
            switch error {
            case .noEntry: break
            case .notADirectory: throw .notAStore(path, "it is not a directory")
            case .noPermission: throw .noAccess(path, try? FileStatus.of(path: name))
            default: throw StoreError(error, "open the store", path: path)
            }
        }
        guard let new else { return nil }
        try checkPlace(of: name, path, allowing: allowed)
        var made: [FileName] = []
        try makeRoot(name, path, mode: new.directoryMode, isDurable: new.isDurable, &made)
        let root: Directory
        let user: UInt32
        do throws(Errno) {
            root = try Directory.open(path: name)
            user = made.isEmpty ? Process.user : try root.status().user
        } catch {
            if error == .noEntry {
                throw .notAStore(path, "it is a symbolic link that leads nowhere")
            }
            throw StoreError(error, "open the store", path: path)
        }
        if made.contains(name), user != Process.user {
            // Empty, unless another process uses it already, for whom it stays.
            for directory in made.reversed() { try? Directory.remove(path: directory) }
            throw .madeForAnother(path, user)
        }
        return root
    }

    /// Opens a directory that was not there a moment ago.
    ///
    /// The client of a network file system may remember for a minute that it was not; opening the directory that would
    /// have it asks the server (docs/decisions/0111).
    private static func openAnew(_ name: FileName) throws(Errno) -> Directory {
        if let parent = parentPath(of: name) {
            do throws(Errno) {
                _ = try Directory.open(path: parent)
            } catch {
                // One that may not be read, only entered, cannot be asked.
                if error == .noEntry { _ = try openAnew(parent) }
            }
        }
        return try Directory.open(path: name)
    }

    /// Makes the directory and what is missing on the way to it, those private to their maker.
    ///
    /// Where the store is durable each name is on the device before anything is acknowledged, also
    /// a name that somebody else has just made.
    private static func makeRoot(
        _ name: FileName, _ path: String, mode: UInt32, isDurable: Bool, _ made: inout [FileName]
    ) throws(StoreError) {
        let parent = parentPath(of: name)
        do throws(Errno) {
            try Directory.make(path: name, mode: mode)
            made.append(name)
        } catch {
            if error == .noEntry, let parent {
                try makeRoot(parent, path, mode: 0o700, isDurable: isDurable, &made)
                try attempt("make the store", path) { () throws(Errno) in
                    do throws(Errno) {
                        try Directory.make(path: name, mode: mode)
                        made.append(name)
                    } catch {
                        if error != .exists { throw error }
                    }
                }
            } else if error != .exists {
                throw StoreError(error, "make the store", path: path)
            }
        }
        guard isDurable else { return }
        try attempt("make the store", path) { () throws(Errno) in
            try Directory.open(path: parent ?? ".").sync()
        }
    }

    /// nil where a path has no other part before its last one.
    static func parentPath(of name: FileName) -> FileName? {
        var bytes = name.bytes
        while bytes.count > 1, bytes.last == slash { bytes.removeLast() }
        guard let cut = bytes.lastIndex(of: slash) else { return nil }
        if cut == bytes.startIndex { return bytes.count > 1 ? "/" : nil }
        return FileName(bytes[..<cut])
    }

    /// Reads the marker, or makes it in an empty directory; nil when there is none to be made.
    ///
    /// An incomplete marker is replaced; see `mendMarker`.
    static func readMarker(
        _ root: Directory, _ path: String, making new: Marker?
    ) throws(StoreError) -> Marker? {
        switch try usableMarker(root, path, making: new) {
        case .whole(let marker): return marker
        case .torn: return nil
        case .none: break
        }
        let isEmpty = try attempt("open the store", path) { () throws(Errno) in
            var isEmpty = true
            try unsafe root.forEachName { name in
                isEmpty = unsafe name.starts(with: Layout.markerPrefix)
                return isEmpty
            }
            return isEmpty
        }
        // What was found may be the store that somebody has made since the first look.
        if case .whole(let marker) = try usableMarker(root, path, making: new) { return marker }
        guard isEmpty else {
            throw .notAStore(path, "the directory is not empty and has no file flock-cache")
        }
        guard let new else { return nil }
        // Refused before anything is made.
        try checkOwner(root, path, new)
        try checkHome(root, path)
        try attempt("make the store", path) { () throws(Errno) in
            try writeMarker(new, root, replacing: false)
        }
        guard case .whole(let marker) = try usableMarker(root, path, making: new) else {
            return nil
        }
        return marker
    }

    private static func usableMarker(
        _ root: Directory, _ path: String, making new: Marker?
    ) throws(StoreError) -> MarkerFile {
        let found = try readMarkerFile(root, path)
        if case .torn = found { return try mendMarker(root, path, making: new) }
        return found
    }

    /// What stands in the marker's place.
    enum MarkerFile { case none, whole(Marker), torn }

    static func readMarkerFile(_ root: Directory, _ path: String) throws(StoreError) -> MarkerFile {
        let text: [UInt8]
        let status: FileStatus
        do throws(Errno) {
            let file = try root.open(Layout.marker, .read)
            status = try file.status()
            guard status.isRegular else { throw Errno.notADirectory }
            text = try file.contentsOnce(upTo: Marker.mostBytes + 1)
        } catch {
            if error == .noEntry { return .none }
            throw StoreError(error, "open the store", path: path)
        }
        switch Marker.read(text) {
        case .marker(let marker):
            root.renewStore(status)
            return .whole(marker)
        case .newer(let version): throw .newerFormat(path, version)
        case .torn: return .torn
        case .notAMarker: throw .notAStore(path, "its file flock-cache is not of this program")
        }
    }

    /// Writes the marker under a private name, then gives it its own, so that no process sees a part of it.
    ///
    /// The name is given by a link, which one of several makers wins, or by a rename over an incomplete marker
    /// whose lock the caller holds. In every store, durable or not, the file is synchronised before it gets
    /// the name, and the directory before this returns. Without that a power cut seconds later left an empty
    /// marker. A process killed before the name is given leaves a private file, which `reap` removes; killed
    /// afterwards, a store.
    static func writeMarker(_ marker: Marker, _ root: Directory, replacing: Bool) throws(Errno) {
        if marker.isShared { try marker.setMode(of: root) }
        let name = try Marker.privateName()
        do throws(Errno) {
            let file = try marker.create(name, in: root)
            try file.write(marker.text)
            try file.sync()
            if replacing {
                try root.rename(name, to: Layout.marker)
            } else {
                do throws(Errno) {
                    try root.link(name, as: Layout.marker)
                } catch {
                    if error != .exists { throw error }
                }
            }
            do throws(Errno) {
                try root.sync()
            } catch {
                // Some file systems cannot synchronise directories; only a durable store depends on it.
                if error != .invalid || marker.isDurable { throw error }
            }
        } catch {
            _ = try? root.unlink(name)
            throw error
        }
        if !replacing { try root.unlink(name) }
    }

    private static let slash = UInt8(ascii: "/")
}
