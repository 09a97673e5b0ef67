internal import Synchronization
internal import SystemCalls

/// A store as one process has it open, from opening to the next fork.
///
/// It carries every descriptor and every lock, so that a forked child, and a process whose store was
/// removed and made anew, begins with a fresh one. Promises: what it opens lies in the store; nobody
/// takes a half-made store for a foreign directory, nor a foreign directory for a store.
final class OpenStore: Sendable {
    /// For messages.
    let path: String
    /// The path by which it was opened.
    let name: FileName
    let root: Directory
    let identity: StoreIdentity
    let marker: Marker
    let isDurable: Bool
    /// Whether nobody but this machine sees it.
    ///
    /// Elsewhere a foreign boot id proves nothing: it may be another machine's.
    let isLocal: Bool
    let isReadOnly: Bool
    /// Whether its file system can carry a board.
    let mapsBoard: Bool
    let epoch: UInt32
    /// When `seemsElsewhere` is to look again, in nanoseconds of the boot clock.
    let nextLookAtPath: Atomic<Int64>
    /// One for each shard, and one for `lazy`.
    let mutexes = ThreadMutexes(count: Layout.shardCount + 1)

    /// What is opened when it is first needed.
    struct Lazy {
        var place: Place?
        var locks: Directory?
        var shards = ShardDirectories()
        var shardFile: ShardFile?
        var session: SessionLock?
        /// Whose files were removed; claims may still name them.
        var formerSessions: [SessionLock] = []
        var temporaries = 0
        /// When counting is to look at the directories again.
        var nextLookAtDirectories = BootTime(nanoseconds: 0)
        var board = KnownBoard()
        var lockTable: LockTable?
        #if Async
        var lookOut: LookOut?
        var renewer: LookOut?
        #endif
    }

    private nonisolated(unsafe) var lazy = Lazy()

    #if Async
    /// Looks out for what tasks wait for.
    var lookOut: LookOut { lookOut(\.lookOut) }
    /// Renews the leases that are kept.
    var renewer: LookOut { lookOut(\.renewer) }

    private func lookOut(_ which: WritableKeyPath<Lazy, LookOut?>) -> LookOut {
        withLazy { lazy in
            if let known = lazy[keyPath: which] { return known }
            let fresh = LookOut()
            lazy[keyPath: which] = fresh
            return fresh
        }
    }
    #endif

    /// Runs a closure with what is opened lazily.
    ///
    /// Short: nothing in it waits, opens or closes a file.
    ///
    /// Not `Synchronization.Mutex`: a class with generic members is laid out at run time, which costs a
    /// command that lives for a millisecond a hundredth of it.
    func withLazy<R>(_ body: (inout Lazy) -> R) -> R {
        _ = mutexes.lock(Layout.shardCount, until: BootTime(nanoseconds: .max))
        defer { mutexes.unlock(Layout.shardCount) }
        return body(&lazy)
    }

    private init(
        path: String, name: FileName, root: Directory, identity: StoreIdentity, marker: Marker,
        isDurable: Bool, isLocal: Bool,
        isReadOnly: Bool, mapsBoard: Bool
    ) {
        self.path = path
        self.name = name
        self.root = root
        self.identity = identity
        nextLookAtPath = Atomic(BootTime.now.advanced(by: Self.betweenLooksAtPath).nanoseconds)
        self.marker = marker
        self.isDurable = isDurable
        self.isLocal = isLocal
        self.isReadOnly = isReadOnly
        self.mapsBoard = mapsBoard
        epoch = ForkEpoch.current
    }

    deinit {
        Self.cachedShards.subtract(lazy.shards.forget(), ordering: .relaxed)
        lazy.shards.deallocate()
    }

    /// Opens the store at a path; nil when it is not there and is not to be made.
    static func open(
        _ name: FileName, path: String, making new: Marker?, configuration: Store.Configuration
    ) throws(StoreError) -> OpenStore? {
        let allowed = configuration.allowedFileSystems
        guard let root = try openRoot(name, path, making: new, allowing: allowed) else {
            return nil
        }
        let (kind, isReadOnly) = try checkFileSystem(root, path, allowing: allowed)
        guard let marker = try readMarker(root, path, making: new) else { return nil }
        let status = try checkOwner(root, path, marker)
        if kind.trust == .local { keepCleanersOut(of: root) }
        return OpenStore(
            path: path, name: name, root: root,
            identity: StoreIdentity(device: status.device, inode: status.inode), marker: marker,
            isDurable: marker.isDurable || configuration.durability == .powerLoss,
            isLocal: kind.trust == .local, isReadOnly: isReadOnly,
            mapsBoard: kind.mapsBoard)
    }

    // MARK: Directories

    /// Directories of shards kept open in this process, by all stores: no more than a quarter of what
    /// it may have open.
    private static let cachedShards = Atomic<Int>(0)
    private static let mostCachedShards = Process.descriptorLimit / 4

    /// The directory of a shard; nil when it is not there and is not to be made.
    func shardDirectory(_ shard: Int, making: Bool) throws(StoreError) -> Directory? {
        if let known = withLazy({ $0.shards[shard] }) {
            return known
        }
        var directory = try openIfThere(Layout.shardPath(shard), in: root)
        if directory == nil {
            guard making, let entries = try entriesDirectory() else { return nil }
            try makeDirectory(Layout.shard(shard), in: entries, at: Layout.shardPath(shard))
            directory = try openIfThere(Layout.shard(shard), in: entries)
        }
        guard let directory else { return nil }
        if making && isDurable { try syncWay() }
        guard Self.cachedShards.load(ordering: .relaxed) < Self.mostCachedShards else {
            return directory
        }
        withLazy { cache in
            if cache.shards[shard] == nil {
                cache.shards[shard] = directory
                Self.cachedShards.add(1, ordering: .relaxed)
            }
        }
        return directory
    }

    /// Puts the names on the way to a shard on the device: who made them may have been killed before.
    private func syncWay() throws(StoreError) {
        try attempt("synchronise", path) { () throws(Errno) in
            try root.openDirectory(Layout.entries).sync()
            try root.sync()
            try root.openDirectory("..").sync()
        }
    }

    /// Lets go of a shard's directory if it was removed; whoever looked into it looks again.
    func forgetIfRemoved(_ shard: Int) -> Bool {
        guard let known = withLazy({ $0.shards[shard] }), (try? known.status())?.links == 0
        else { return false }
        forgetDirectories()
        return true
    }

    /// The directory of a shard as it is now, for what goes through all of them; nil when there is
    /// none.
    func shardDirectoryNow(_ shard: Int) throws(StoreError) -> Directory? {
        _ = forgetIfRemoved(shard)
        return try shardDirectory(shard, making: false)
    }

    /// Lets go of the directories kept open: somebody needs descriptors, or has removed directories.
    func forgetDirectories() {
        var forgotten = withLazy { lazy in
            defer { lazy.shards = ShardDirectories() }
            return lazy.shards
        }
        Self.cachedShards.subtract(forgotten.forget(), ordering: .relaxed)
        forgotten.deallocate()
    }

    /// The directory of the entries, made if need be.
    private func entriesDirectory() throws(StoreError) -> Directory? {
        _ = try locksDirectory()  // makes what is missing, in the right order
        var entries = try openIfThere(Layout.entries, in: root)
        if entries == nil {
            // Whoever made the locks is about to make this one; it may also have been killed.
            try makeDirectory(Layout.entries, in: root)
            entries = try openIfThere(Layout.entries, in: root)
        }
        if let entries { try checkCase(of: entries) }
        return entries
    }

    private func openIfThere(
        _ path: FileName, in parent: Directory
    ) throws(StoreError) -> Directory? {
        do throws(Errno) {
            return try parent.openDirectory(beneath: path)
        } catch {
            switch error {
            case .noEntry: return nil
            case .tooManyFiles, .tooManyFilesInSystem:
                forgetDirectories()
                return try attempt("open", file(path, in: nil)) { () throws(Errno) in
                    try parent.openDirectory(beneath: path)
                }
            default: throw StoreError(error, "open", path: file(path, in: nil))
            }
        }
    }

    /// Makes a directory unless it is there.
    ///
    /// - Parameter path: where it lies below the store, for messages; nil: directly.
    func makeDirectory(
        _ name: FileName, in parent: Directory, at path: FileName? = nil
    ) throws(StoreError) {
        try attempt("make the directory", file(path ?? name, in: nil)) { () throws(Errno) in
            guard try marker.makeDirectory(name, in: parent, of: root) else { return }
            if isDurable { try parent.sync() }
        }
    }

    /// The directory of the locks.
    ///
    /// It is made before `entries` and never again: whoever finds entries without locks finds a store
    /// of which somebody removed a part, and new locks would exclude nobody who holds the old ones.
    func locksDirectory() throws(StoreError) -> Directory {
        if let known = withLazy({ $0.locks }) { return known }
        let locks = try openLocksDirectory()
        keepCleanersOut(ofLocks: locks)
        withLazy { $0.locks = locks }
        return locks
    }

    private func openLocksDirectory() throws(StoreError) -> Directory {
        if let locks = try openIfThere(Layout.locks, in: root) { return locks }
        let hasEntries = try attempt("open the store", path) { () throws(Errno) in
            try root.status(of: Layout.entries) != nil
        }
        if hasEntries {
            // Both may have been made since the first look.
            if let locks = try openIfThere(Layout.locks, in: root) { return locks }
            throw isGone ? .replaced(path) : .noMarkedPart(path, Self.text(Layout.locks))
        }
        try makeDirectory(Layout.locks, in: root)
        try makeDirectory(Layout.entries, in: root)
        guard let locks = try openIfThere(Layout.locks, in: root) else {
            throw .replaced(path)
        }
        return locks
    }

    /// The path of a file, for messages.
    func file(_ name: FileName, in shard: Int?) -> String {
        guard let shard else { return "\(path)/\(Self.text(name))" }
        return
            "\(path)/\(Self.text(Layout.entries))/\(Self.text(Layout.shard(shard)))/\(Self.text(name))"
    }

    /// The path of a file of `locks`, for messages.
    func lockFile(_ name: FileName) -> String { Self.lockFile(name, in: path) }

    static func lockFile(_ name: FileName, in store: String) -> String {
        "\(store)/\(text(Layout.locks))/\(text(name))"
    }

    private static func text(_ name: FileName) -> String {
        String(decoding: name.bytes, as: UTF8.self)
    }
}
