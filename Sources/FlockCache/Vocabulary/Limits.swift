/// How much a store takes; each limit is of the format, so that every program that uses a store agrees.
package enum Limits {
    /// Bytes of an entry's or lease's key.
    package static let key = 200
    /// Bytes of its name on disk: leaves room below the 255 bytes of a file name for `.pending` and its like.
    static let nameOnDisk = 240
    /// Bytes of a lock's key: no file is named after a lock.
    static let lockKey = 4096
    /// Slots of a lock or lease: trying for one looks at each.
    package static let slots = 4096
    /// Bytes of a journal's record.
    package static let record = 16 << 20
    /// Bytes of a journal's segment, from which on the next record begins another.
    static let segment = 64 << 20
    /// Bytes of a value.
    static let value = 1 << 30
    /// What microseconds reach in 2255.
    ///
    /// Nothing higher was written by this program, and counting on from there would come to no good.
    static let generation: Store.Generation = 1 << 53 - 1
    /// The store format that this program reads and writes.
    package static let format = 1
    /// How long a change waits for another process's change of the same shard: they take microseconds, so
    /// this long means a stopped process.
    static let patience = Duration.seconds(10)
}
