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
    /// The longest time to live of a lease, beyond which a deadline would mean nothing to anybody.
    package static let timeToLive = Duration.seconds(100 * 365 * 86400)
    package static let timeToLiveInWords = "100 years"
    /// How often a lease is asked for whose time was over before anything could begin under it.
    package static let leaseTries = 3
    /// Bytes of a journal's record.
    package static let record = 16 << 20
    /// Bytes of a journal's segment, from which on the next record begins another.
    static let segment = 64 << 20
    /// Bytes of the journal of changes that are kept at least: about 300,000 changes.
    static let changes = 32 << 20
    /// Bytes of one of its segments.
    static let changesSegment = 4 << 20
    /// Bytes of a value.
    static let value = 1 << 30
    /// What microseconds reach in 2255.
    ///
    /// Nothing higher was written by this program, and counting on from there would come to no good.
    static let generation: Store.Generation = 1 << 53 - 1
    /// The store format that this program reads and writes.
    package static let format = 1
    /// The format of a store that keeps a journal of its changes: the same, but for what a change has to tell.
    package static let newestFormat = 2
    /// How long a change waits for another process's change of the same shard: they take microseconds, so
    /// this long means a stopped process.
    static let patience = Duration.seconds(10)
}
