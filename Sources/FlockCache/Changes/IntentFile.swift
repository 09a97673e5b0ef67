internal import SystemCalls

/// `locks/intents`: a header of 512 bytes, and 512 for each shard; made with all its blocks, so that what frees
/// room can be told of on a full disk.
///
/// A shard's intent is read and written by whoever has the shard's mutex, the header by whoever has the lock of
/// the journal of changes.
final class IntentFile: Sendable {
    private let file: LockFile
    private let path: String
    /// Of the file, as the header names it.
    let identity: StoreIdentity

    static let byteCount = (1 + Layout.shardCount) * Intent.byteCount

    init(of store: StoreFiles) throws(StoreError) {
        let path = store.lockFile(Layout.intents)
        let locks = try store.locksDirectory()
        let file = try attempt("open", path) { () throws(Errno) in
            try openOrMake(Layout.intents, in: locks, store.marker)
        }
        identity = try attempt("use", path) { () throws(Errno) in
            let status = try file.status()
            // Nothing is written there before it has all its blocks, whoever of several gives it them.
            if status.size < Self.byteCount {
                do throws(Errno) {
                    try file.allocate(Self.byteCount)
                } catch {
                    // A file system that cannot: then a full disk may refuse what would free room.
                    guard error == .notSupported || error == .invalid else { throw error }
                }
            }
            // Of one file system each of several hosts may have another device number.
            return StoreIdentity(device: store.isLocal ? status.device : 0, inode: status.inode)
        }
        self.file = file
        self.path = path
    }

    /// Whether the file still has a name: otherwise nobody would find what is written to it.
    func isLinked() throws(StoreError) -> Bool {
        try attempt("use", path) { () throws(Errno) in try file.isLinked() }
    }

    private static func offset(_ shard: Int) -> Int { (1 + shard) * Intent.byteCount }

    /// What a shard's last marked change intended; nil where none was ever written, or it is not whole.
    func read(_ shard: Int) throws(StoreError) -> Intent? {
        try unsafe withUnsafeTemporaryAllocation(byteCount: Intent.byteCount, alignment: 8) {
            (bytes) throws(StoreError) in
            let count = try attempt("read", path) { () throws(Errno) in
                try unsafe file.read(into: bytes, at: Self.offset(shard))
            }
            guard count == Intent.byteCount else { return nil }
            return unsafe Intent(UnsafeRawBufferPointer(bytes))
        }
    }

    func write(_ intent: Intent, of shard: Int) throws(StoreError) {
        try unsafe withUnsafeTemporaryAllocation(byteCount: Intent.byteCount, alignment: 8) {
            (bytes) throws(StoreError) in
            unsafe intent.write(to: bytes)
            try attempt("write", path) { () throws(Errno) in
                try unsafe file.write(UnsafeRawBufferPointer(bytes), at: Self.offset(shard))
            }
        }
    }

    /// nil where it is not whole.
    func readHeader() throws(StoreError) -> IntentHeader? {
        let text = try attempt("read", path) { () throws(Errno) in
            try file.contents(upTo: Intent.byteCount)
        }
        return unsafe text.withUnsafeBytes { unsafe IntentHeader($0) }
    }

    func write(_ header: IntentHeader) throws(StoreError) {
        try attempt("write", path) { () throws(Errno) in try file.write(header.bytes, at: 0) }
    }
}
