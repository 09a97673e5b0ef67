// Opening: a store as one process has it open. `OpenStore` puts the parts together; `Session` keeps the current one
// through forks and through removal of the store.
//
// States of a session: no store yet, open, outdated (removed, moved, or of the parent of a forked child; the next
// call opens a fresh one). No lock of the process is held while a store is opened.

internal import SystemCalls

/// A store as one process has it open, from opening to the next fork: its parts, put together.
///
/// They carry every descriptor and every lock, so that a forked child, and a process whose store was
/// removed and made anew, begins with a fresh one.
final class OpenStore: Sendable {
    let files: StoreFiles
    let board: BoardAccess
    let shards: Shards
    let session: SessionByte
    let locks: LockTableAccess
    /// Of a store that tells of its changes.
    let changes: ChangeJournal?
    let journals: OpenJournals
    let counter = KeptFile<Checksum>()
    let lease = KeptFile<FileName>()
    let keptClaims = KeptClaims()
    /// Looks out for what tasks wait for.
    let lookOut = LookOut()
    /// Renews the leases that are kept.
    let renewer = LookOut()

    /// Opens the store at a path; nil when it is not there and is not to be made.
    static func open(
        _ name: FileName, path: String, making new: Marker?, configuration: Store.Configuration
    ) throws(StoreError) -> OpenStore? {
        let files = try StoreFiles.open(
            name, path: path, making: new, configuration: configuration)
        return files.map { OpenStore($0, configuration) }
    }

    private init(_ files: StoreFiles, _ configuration: Store.Configuration) {
        self.files = files
        board = BoardAccess(files)
        shards = Shards(files, board)
        session = SessionByte(files)
        locks = LockTableAccess(files)
        changes =
            files.marker.hasJournal
            ? ChangeJournal(shards, locks, onDelay: configuration.onUntold) : nil
        journals = OpenJournals(files, locks, board)
    }

    /// Whether the store was removed, or emptied and perhaps made anew in the same directory.
    var isRemoved: Bool { files.isRemoved || shards.isRemoved }

    /// Whether the path now leads elsewhere, or to a directory whose parts are not those open here.
    func isOutdated(at name: FileName) -> Bool {
        guard !isRemoved, let status = try? root.status(),
            let now = try? Directory.open(path: name).status()
        else { return true }
        return now.device != status.device || now.inode != status.inode
    }
}

// What operations ask for most.
extension OpenStore {
    var path: String { files.path }
    var root: Directory { files.root }
    var marker: Marker { files.marker }
    var isDurable: Bool { files.isDurable }
    var isLocal: Bool { files.isLocal }
    var isReadOnly: Bool { files.isReadOnly }
    var epoch: UInt32 { files.epoch }

    func place() throws(StoreError) -> Place { try files.place() }
    func placeIfKnown() throws(StoreError) -> Place? { try files.placeIfKnown() }
    func locksDirectory() throws(StoreError) -> Directory { try files.locksDirectory() }
    func shardDirectory(_ shard: Int, making: Bool) throws(StoreError) -> Directory? {
        try files.shardDirectory(shard, making: making)
    }
    func file(_ name: FileName, in shard: Int?) -> String { files.file(name, in: shard) }
    func sessionID() throws(StoreError) -> UInt64 { try session.id() }
    func temporaryName() throws(StoreError) -> FileName { try session.temporaryName() }
}

extension HeldShard {
    init(
        _ store: OpenStore, _ shard: Int, patience: Duration = Limits.patience,
        verifying: Bool = false
    ) throws(StoreError) {
        try self.init(
            store.shards, shard, telling: store.changes, patience: patience, verifying: verifying)
    }
}

extension ShardMutex {
    init(_ store: OpenStore, _ shard: Int, patience: Duration) throws(StoreError) {
        try self.init(store.shards, shard, patience: patience)
    }
}
