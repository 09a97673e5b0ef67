internal import SystemCalls

// Where a store may be: on which file systems, in whose home. What is refused is refused
// before anything is made.

extension StoreFiles {
    /// The kind of a directory's file system, and whether it is mounted read-only.
    ///
    /// - Throws: `.unsupportedFileSystem`, also for a directory that ignores the case of letters.
    static func checkFileSystem(
        _ directory: Directory, _ path: String, allowing allowed: [String]
    ) throws(StoreError) -> (kind: FileSystemKind, isReadOnly: Bool) {
        let (magic, isReadOnly) = try attempt("open the store", path) { () throws(Errno) in
            try directory.fileSystem()
        }
        let kind = try mountedKind(of: directory, FileSystemKind(magic: magic), path, allowed)
        if kind.trust == .none && !allowed.contains(kind.name) {
            throw .unsupportedFileSystem(path, kind.name)
        }
        if kind.trust == .network && !kind.isMeasured && !allowed.contains(kind.name) {
            throw .unmeasuredFileSystem(path, kind.name)
        }
        if kind.mayFoldCase { try checkCase(of: directory, path) }
        return (kind, isReadOnly)
    }

    /// What a directory is on by the table of mounts: 9p passes the question on to the machine behind it, and looks
    /// like its ext4.
    private static func mountedKind(
        of directory: Directory, _ kind: FileSystemKind, _ path: String, _ allowed: [String]
    ) throws(StoreError) -> FileSystemKind {
        guard kind.trust != .none else { return kind }
        let isNetwork = kind.trust == .network
        let mount = try attempt("open the store", path) { () throws(Errno) in
            try directory.mount(withOptions: isNetwork)
        }
        guard let mount else { return kind }
        if case .of(let type) = mount.kind, !kind.isMounted(as: type) {
            return FileSystemKind(mountedAs: type)
        }
        var judged = kind
        judged.isLeased = mount.kind == .of(type: "nfs4")
        guard isNetwork, !allowed.contains(kind.name) else { return judged }
        if let option = FileSystemKind.lockingOption(mount) {
            throw .unsupportedMount(path, kind.name, option)
        }
        if FileSystemKind.isSoft(mount) { throw .softMount(path, kind.name) }
        if let twin = try? MountTable().twin(of: directory) {
            throw .mountedTwice(path, kind.name, String(decoding: twin.point, as: UTF8.self))
        }
        return judged
    }

    private static func checkCase(of directory: Directory, _ path: String) throws(StoreError) {
        let foldsCase = try attempt("open the store", path) { () throws(Errno) in
            try directory.foldsCase()
        }
        if foldsCase { throw .foldsCase(path) }
    }

    /// Refuses a directory of the store that ignores the case of letters; asked where names are about to be
    /// made in it for the first time.
    ///
    /// A new directory has the attribute of the one it is made in, and only an empty one can be given it.
    func checkCase(of directory: Directory) throws(StoreError) {
        try Self.checkCase(of: directory, path)
    }

    /// Looks at the directory in which the first missing name on the way to a store would be made.
    static func checkPlace(
        of name: FileName, _ path: String, allowing allowed: [String]
    ) throws(StoreError) {
        guard let place = deepestDirectory(on: name) else { return }
        _ = try checkFileSystem(place, path, allowing: allowed)
        try checkHome(place, path)
    }

    /// nil where there is none, or it may not be opened: then making something in it says why.
    private static func deepestDirectory(on name: FileName) -> Directory? {
        var place = name
        while true {
            let parent = parentPath(of: place) ?? "."
            do throws(Errno) {
                return try Directory.open(path: parent)
            } catch {
                guard error == .noEntry, parent.bytes != place.bytes else { return nil }
                place = parent
            }
        }
    }

    // MARK: Whose it is

    /// Refuses root a directory in another user's home: what root makes there, `.cache` first, shuts that user
    /// out.
    ///
    /// A home is the directory that HOME names, or that `/etc/passwd` gives the directory's owner. What is on
    /// the way is found by walking upwards, so that links and relative paths lead nowhere else.
    static func checkHome(_ directory: Directory, _ path: String) throws(StoreError) {
        guard Process.user == 0 else { return }
        var place = directory
        while true {
            // On a network file system root may be refused to look: then it makes nothing there either.
            guard let status = try? place.status(), let parent = try? place.openDirectory(".."),
                let above = try? parent.status()
            else { return }
            if status.user != 0, let home = home(of: status) {
                throw .inAnotherHome(path, home, status.user)
            }
            if above.device == status.device && above.inode == status.inode { return }
            place = parent
        }
    }

    /// The path by which a directory is the home of its owner, or of this process; nil for no home.
    private static func home(of directory: FileStatus) -> String? {
        func isIt(_ home: [UInt8]) -> Bool {
            guard home.first == UInt8(ascii: "/"), !home.contains(0),
                let status = try? FileStatus.of(path: FileName(home))
            else { return false }
            return status.device == directory.device && status.inode == directory.inode
        }
        let variable = Array("HOME=".utf8)
        if let home = Process.environment.last(where: { $0.starts(with: variable) }).map({
            Array($0.dropFirst(variable.count))
        }), isIt(home) {
            return String(decoding: home, as: UTF8.self)
        }
        // Without `getpwuid`, which a static program cannot call; users of other sources are met by HOME.
        let users = Process.contents(of: "/etc/passwd", upTo: 1 << 20) ?? []
        for line in users.split(separator: UInt8(ascii: "\n")) {
            // name:password:user:group:description:home:shell
            let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard fields.count >= 6, decimal(fields[2]) == UInt64(directory.user),
                isIt(Array(fields[5]))
            else { continue }
            return String(decoding: fields[5], as: UTF8.self)
        }
        return nil
    }
}
