// Files: the directories of a store as one process has them open, and how a directory becomes a store.
//
// States of a directory: foreign (anything, no marker; never touched), empty, a store (a marker). The marker
// appears first and complete, by a link; then `locks`, then `entries`, then the shards' directories, each by
// whoever needs it. Fifty processes may do so at once.
//
// What could break it: a kill between two steps (the next opener makes what is missing; `locks` missing beside
// `entries` is an error, because new locks would not exclude holders of the old ones), a power cut (the marker is
// on the device before it is linked; an incomplete one is written again, `TornMarker`), links and other planted
// files (every open is below the store and follows none), cleaners by age (`Cleaners`, `Renewal`), a store of
// another user (`StorePlace`).

internal import Synchronization
internal import SystemCalls

/// The directories of a store that one process has open, and the settings of its marker.
///
/// Promises: what it opens lies in the store; nobody takes a half-made store for a foreign directory, nor
/// a foreign directory for a store.
///
/// Its mutex is held for bookkeeping alone: nothing under it waits, opens or closes a file.
final class StoreFiles: Sendable {
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
    /// Whether a server may take back the locks of this machine.
    let isLeased: Bool
    let isReadOnly: Bool
    /// The name of its file system.
    let fileSystem: String
    /// Whether its file system can carry a board.
    let mapsBoard: Bool
    /// Whether it has no device that can refuse what is written to a map of a whole file.
    let writesByMemory: Bool
    let epoch: UInt32
    /// When `seemsElsewhere` is to look again, in nanoseconds of the boot clock.
    let nextLookAtPath: Atomic<Int64>

    private struct State {
        var place: Place?
        var locks: Directory?
        var shards = ShardDirectories()
    }

    // Not `Synchronization.Mutex`: a class with generic members is laid out at run time, which costs a
    // command that lives for a millisecond a hundredth of it.
    private let mutex = ThreadMutexes(count: 1)
    private nonisolated(unsafe) var state = State()

    private func withState<R>(_ body: (inout State) -> R) -> R {
        mutex.locked(0) { unsafe body(&state) }
    }

    private init(
        path: String, name: FileName, root: Directory, identity: StoreIdentity, marker: Marker,
        isDurable: Bool, _ kind: FileSystemKind, isReadOnly: Bool
    ) {
        self.path = path
        self.name = name
        self.root = root
        self.identity = identity
        nextLookAtPath = Atomic(BootTime.now.advanced(by: Self.betweenLooksAtPath).nanoseconds)
        self.marker = marker
        self.isDurable = isDurable
        isLocal = kind.trust == .local
        isLeased = kind.isLeased
        fileSystem = kind.name
        self.isReadOnly = isReadOnly
        mapsBoard = kind.mapsBoard
        writesByMemory = kind.mapsBoard && kind.name == "tmpfs"
        epoch = ForkEpoch.current
    }

    deinit {
        unsafe Self.cachedShards.subtract(state.shards.forget(), ordering: .relaxed)
        unsafe state.shards.deallocate()
    }

    /// Opens the store at a path; nil when it is not there and is not to be made.
    static func open(
        _ name: FileName, path: String, making new: Marker?, configuration: Store.Configuration
    ) throws(StoreError) -> StoreFiles? {
        let allowed = configuration.allowedFileSystems
        guard let root = try openRoot(name, path, making: new, allowing: allowed) else {
            return nil
        }
        let (kind, isReadOnly) = try checkFileSystem(root, path, allowing: allowed)
        guard let marker = try readMarker(root, path, making: new) else { return nil }
        let status = try checkOwner(root, path, marker)
        if kind.trust == .local { keepCleanersOut(of: root) }
        return StoreFiles(
            path: path, name: name, root: root,
            identity: StoreIdentity(device: status.device, inode: status.inode), marker: marker,
            isDurable: marker.isDurable || configuration.durability == .powerLoss, kind,
            isReadOnly: isReadOnly)
    }

    /// Whether the store's directory has been removed.
    var isGone: Bool { (try? root.status())?.links == 0 }

    /// Whether the store's directory or that of its locks has been removed.
    var isRemoved: Bool {
        if isGone { return true }
        guard let locks = withState({ $0.locks }) else { return false }
        return (try? locks.status())?.links == 0
    }

    /// Keeps what keeps cleaners out of the files of locks in the program that this process executes.
    func keepThroughExecution() throws(Errno) {
        try withState { $0.locks }?.keepThroughExecution()
    }

    // MARK: Where this process is

    /// Where this process is.
    func place() throws(StoreError) -> Place {
        guard let known = try placeIfKnown() else { throw .noProc(path) }
        return known
    }

    /// The same for what only reads; nil without a `/proc`.
    func placeIfKnown() throws(StoreError) -> Place? {
        if let known = withState({ $0.place }) { return known }
        let place = try attempt("read", "/proc") { () throws(Errno) in try Place.current() }
        withState { $0.place = place }
        return place
    }

    // MARK: Directories

    /// Directories of shards kept open in this process, by all stores: no more than a quarter of what
    /// it may have open.
    private static let cachedShards = Atomic<Int>(0)
    private static let mostCachedShards = Process.descriptorLimit / 4

    /// The directory of a shard; nil when it is not there and is not to be made.
    func shardDirectory(_ shard: Int, making: Bool) throws(StoreError) -> Directory? {
        if let known = withState({ $0.shards[shard] }) {
            return known
        }
        var directory = try openShard(shard)
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
        withState { cache in
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
        guard let known = withState({ $0.shards[shard] }), (try? known.status())?.links == 0
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
        var forgotten = withState { state in
            defer { state.shards = ShardDirectories() }
            return state.shards
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

    func openIfThere(
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
            prepareForFullDisk(name, in: parent)
            if isDurable { try parent.sync() }
        }
    }

    /// The directory of the locks.
    ///
    /// It is made before `entries` and never again: whoever finds entries without locks finds a store
    /// of which somebody removed a part, and new locks would exclude nobody who holds the old ones.
    func locksDirectory() throws(StoreError) -> Directory {
        if let known = withState({ $0.locks }) { return known }
        let locks = try openLocksDirectory()
        keepCleanersOut(ofLocks: locks)
        withState { $0.locks = locks }
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
