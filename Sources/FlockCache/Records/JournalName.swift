internal import SystemCalls

/// A journal with all that follows from its name: its directory, the byte of its lock, its word on the board.
struct JournalName: Hashable, Sendable {
    /// What the user calls it.
    let key: Store.Key
    /// In `journal`.
    let directory: FileName
    let lock: LockName

    /// Throws `.invalidKey` for a name that is empty or too long.
    init(_ key: Store.Key) throws(StoreError) {
        let name = try EntryName(key)
        self.init(key, directory: name.ready)
    }

    /// The journal of a directory that was found in `journal`; nil for a name that no user's journal has.
    init?(directory: [UInt8]) {
        guard let key = PercentCode.decode(directory) else { return nil }
        self.init(Store.Key(key), directory: FileName(directory))
    }

    private init(_ key: Store.Key, directory: FileName) {
        self.key = key
        self.directory = directory
        lock = LockName(known: key)
    }

    /// The journal of the store's changes: no key is encoded to a name that begins with a dot.
    static let changes = JournalName(".changes", directory: ".changes")

    /// The shard whose word of the board tells that something was appended.
    var wordIndex: Int { Int(lock.hash & 0xff) }
    /// The bit that its followers wait for, of 32.
    var wakeBits: UInt32 { 1 << UInt32(truncatingIfNeeded: lock.hash >> 8 & 31) }

    static func == (a: JournalName, b: JournalName) -> Bool { a.directory == b.directory }

    func hash(into hasher: inout Hasher) { hasher.combine(lock.hash) }
}
