internal import SystemCalls

/// A key with all that follows from it: its hash, its shard, and the names of its two files there.
struct EntryName: Hashable, Sendable {
    let key: Store.Key
    let hash: UInt64
    /// The part of the store in which its files are: for a key that was asked for, the low 8 bits of the hash.
    let shard: Int
    /// The file of the READY entry; a lease's file has the same name.
    let ready: FileName
    /// The file of the PENDING entry.
    let pending: FileName

    /// The key as its files are named.
    var encoded: ArraySlice<UInt8> { ready.bytes }

    /// Throws `.invalidKey` for a key that is empty or too long.
    init(_ key: Store.Key) throws(StoreError) {
        guard !key.bytes.isEmpty else { throw .emptyKey() }
        guard key.bytes.count <= Limits.key else { throw .keyTooLong(key) }
        let encoded = PercentCode.encode(key.bytes)
        guard encoded.count <= Limits.nameOnDisk else { throw .keyTooLong(key) }
        let hash = PercentCode.hash(of: key.bytes)
        self.init(key, hash, shard: Int(hash & 0xff), encoded)
    }

    /// The key of a file that was found in a shard; nil for a name that no key has.
    init?(shard: Int, encoded: [UInt8]) {
        guard let key = PercentCode.decode(encoded) else { return nil }
        self.init(Store.Key(key), PercentCode.hash(of: key), shard: shard, encoded)
    }

    private init(_ key: Store.Key, _ hash: UInt64, shard: Int, _ encoded: [UInt8]) {
        self.key = key
        self.hash = hash
        self.shard = shard
        ready = FileName(encoded)
        pending = FileName(encoded + PercentCode.pendingSuffix)
    }

    static func == (a: EntryName, b: EntryName) -> Bool { a.hash == b.hash && a.key == b.key }

    func hash(into hasher: inout Hasher) { hasher.combine(hash) }
}
