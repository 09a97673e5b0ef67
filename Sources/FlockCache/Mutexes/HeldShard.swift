internal import SystemCalls

/// A shard whose mutex this thread has; dropped, it is released.
///
/// While this value lives nobody else, thread or process, changes any key of the shard. A change is
/// `begin`, the file operations, `commit`: the block says "changing" from before the first to after
/// the last, so that whoever is killed in between leaves a mark, and the next counts anew. A change
/// that throws half-way leaves the same mark.
struct HeldShard: ~Copyable {
    private var mutex: ShardMutex
    /// The counts as they are, and after `begin` as the change makes them.
    var block: ShardBlock

    var store: OpenStore { mutex.store }
    var shard: Int { mutex.shard }

    /// Takes the mutex, waiting for it at most that long, and counts the shard anew where need be.
    init(
        _ store: OpenStore, _ shard: Int, patience: Duration = ShardMutex.patience
    ) throws(StoreError) {
        let mutex = try ShardMutex(store, shard, patience: patience)
        block = try Self.currentBlock(mutex)
        self.mutex = mutex
    }

    /// The block, counted anew where a killed change, another boot or a copy left it unknown.
    private static func currentBlock(_ mutex: borrowing ShardMutex) throws(StoreError) -> ShardBlock
    {
        guard try mutex.file.isLinked() else { throw .replaced(mutex.store.path) }
        let boot = try mutex.store.place().boot
        let found = try mutex.file.read(mutex.shard)
        if let found, found.changer == 0, found.boot == boot { return found }
        if found?.boot != boot, mutex.store.isLocal, mutex.file.isWritable {
            try mutex.store.mendTornLeases(mutex.shard)
        }
        var block = ShardBlock()
        block.highest = found?.highest ?? 0
        block.boot = boot
        block.counts = try mutex.store.count(
            mutex.shard, removingDebris: mutex.file.isWritable)
        if mutex.file.isWritable { try mutex.write(block) }
        return block
    }

    /// The directory of the shard, made if need be.
    func directory() throws(StoreError) -> Directory {
        guard let directory = try store.shardDirectory(shard, making: true) else {
            throw .replaced(store.path)
        }
        return directory
    }

    /// A generation higher than any given in this shard, and than one found in a record.
    ///
    /// - Throws: `.inputOutput` when there is none below 2^53.
    func nextGeneration(
        above found: Store.Generation = 0
    ) throws(StoreError) -> Store.Generation {
        let next = max(UInt64(clamping: WallClock.microseconds), block.highest + 1, found + 1)
        // Nobody could read such a claim: all would take it for torn, and win.
        guard next <= ClaimSection.mostGeneration else { throw .noGenerationLeft(store.path) }
        return next
    }

    /// Marks the shard as being changed.
    mutating func begin(generation: Store.Generation = 0) throws(StoreError) {
        guard mutex.file.isWritable else {
            throw StoreError(
                store.isReadOnly ? .readOnly : .noPermission, "change the store", path: store.path)
        }
        Store.beforeChange?()
        var marked = block
        marked.changer = Process.id
        marked.highest = max(block.highest, generation)
        try mutex.write(marked)
        block.highest = marked.highest
    }

    /// Says what the change made of the counts.
    ///
    /// - Parameter name: of a key whose claim the change has ended: who waits for it is to look.
    mutating func commit(ending name: EntryName? = nil) {
        mutex.ended = name
        // The change itself has happened. Where this fails the mark stays, and the next counts anew.
        try? mutex.write(block)
    }
}
