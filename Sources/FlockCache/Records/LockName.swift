/// Where a key's lock lies: its file of the lock table, and its bytes there.
package struct LockName: Sendable {
    package let key: Store.Key
    let hash: UInt64

    /// Throws `.invalidKey` for a key that is empty or too long.
    init(_ key: Store.Key) throws(StoreError) {
        guard !key.bytes.isEmpty else { throw .emptyKey() }
        guard key.bytes.count <= Limits.lockKey else { throw .lockKeyTooLong(key) }
        self.key = key
        hash = PercentCode.hash(of: key.bytes)
    }

    /// A name whose length is known to be right.
    init(known key: Store.Key) {
        self.key = key
        hash = PercentCode.hash(of: key.bytes)
    }

    /// How many files the lock table has, and how many bytes of locks each.
    static let tableCount = 64
    static let byteCount = 1 << 58

    /// The file of the lock table: the low 6 bits.
    var table: Int { Int(hash & 63) }
    /// The byte in that file; a lock with slots has as many bytes from there on.
    var byte: Int { Self.byte(of: hash) }
    static func byte(of hash: UInt64) -> Int { Int(hash >> 6) }
    /// Where those stand who wait: far from all locks.
    var queue: QueueName { QueueName(ofLock: hash, slot: slot(0)) }
    /// Where those stand who wait for the lease of that name: a lock and a lease of one key are two things.
    var leaseQueue: QueueName {
        // Other bits of the hash than the slots of locks have.
        QueueName(ofLease: hash, slot: Int(hash >> 18) & (BoardLayout.slotCount - 1))
    }
    /// The byte of the journal of that name: between the locks and the queues.
    var journal: Int { 1 << 59 | byte }

    /// The slot of the board on which the holder of one of the lock's slots is noted.
    func slot(_ index: Int) -> Int { (byte + index) & (BoardLayout.slotCount - 1) }

    /// The locks of several keys in the order in which everybody takes them: that of their bytes.
    ///
    /// What stands there twice, or meets in one byte, is taken once: a second time it would be waited for
    /// in vain.
    static func inOrder(_ keys: [Store.Key]) throws(StoreError) -> [LockName] {
        if keys.count == 1 { return [try LockName(keys[0])] }
        var names: [LockName] = []
        for key in keys { names.append(try LockName(key)) }
        names.sort { $0.key.precedes($1.key) }
        var merged: [LockName] = []
        for name in names where !merged.contains(where: { $0.hash == name.hash }) {
            merged.append(name)
        }
        return merged
    }
}

extension Store.Key {
    /// The order in which locks are taken.
    func precedes(_ other: Store.Key) -> Bool { bytes.lexicographicallyPrecedes(other.bytes) }
}
