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
    /// What counting anew came to, where it was done.
    let counted: ShardCount?
    /// Whether the counts are those of the directory, and `commit` may say so.
    private var areCountsKnown: Bool

    var files: StoreFiles { mutex.shards.files }
    var shard: Int { mutex.shard }

    /// Takes the mutex, waiting for it at most that long, and counts the shard anew where need be.
    ///
    /// - Parameter verifying: whether it is also counted where files came or went beside this program: for who
    ///   needs the counts themselves. A change does without, and leaves that to them.
    init(
        _ shards: Shards, _ shard: Int, patience: Duration = Limits.patience,
        verifying: Bool = false
    ) throws(StoreError) {
        let mutex = try ShardMutex(shards, shard, patience: patience)
        let (current, count) = try Self.currentBlock(mutex, verifying: verifying)
        block = current
        counted = count
        // Beyond the greatest number nothing can be added or taken away.
        areCountsKnown = (count?.isSound ?? true) && current.counts.isSumKnown
        self.mutex = mutex
    }

    private static func currentBlock(
        _ mutex: borrowing ShardMutex, verifying: Bool
    ) throws(StoreError) -> (ShardBlock, ShardCount?) {
        let (files, shard) = (mutex.shards.files, mutex.shard)
        guard try mutex.file.isLinked() else { throw .replaced(files.path) }
        let boot = try files.placeIfKnown()?.boot
        let found = try mutex.file.read(shard)
        if let found, found.changer == 0, found.boot == boot,
            !verifying
                || found.mark != .unknown && found.mark == mutex.shards.directoryMark(of: shard)
        {
            return (found, nil)
        }
        guard let boot else { return try counted(mutex, found) }
        if found?.boot != boot, files.isLocal, mutex.file.isWritable {
            try files.mendTornLeases(shard)
        }
        return try countAnew(mutex, highest: found?.highest ?? 0, boot)
    }

    /// The block of a shard that a killed change, another boot, a copy or somebody's hand left unknown.
    ///
    /// What cannot be counted for sure leaves the mark unknown, so that who needs the counts counts again.
    private static func countAnew(
        _ mutex: borrowing ShardMutex, highest: Store.Generation, _ boot: BootID
    ) throws(StoreError) -> (ShardBlock, ShardCount?) {
        let files = mutex.shards.files
        let count = try files.count(mutex.shard, removingDebris: mutex.file.isWritable)
        var block = ShardBlock()
        block.highest = highest
        block.boot = boot
        block.counts = count.counts
        block.mark = count.isSound ? mutex.shards.directoryMark(of: mutex.shard) : .unknown
        if mutex.file.isWritable { try mutex.write(block) }
        return (block, count)
    }

    /// A block for reading alone, where the boot is not known: whether the one that was found is of this boot
    /// cannot be told, and `begin` refuses to write one.
    private static func counted(
        _ mutex: borrowing ShardMutex, _ found: ShardBlock?
    ) throws(StoreError) -> (ShardBlock, ShardCount?) {
        let count = try mutex.shards.files.count(mutex.shard, removingDebris: false)
        var block = ShardBlock()
        block.highest = found?.highest ?? 0
        block.counts = count.counts
        return (block, count)
    }

    /// The directory of the shard, made if need be.
    func directory() throws(StoreError) -> Directory {
        guard let directory = try files.shardDirectory(shard, making: true) else {
            throw .replaced(files.path)
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
        guard next <= Limits.generation else { throw .noGenerationLeft(files.path) }
        return next
    }

    /// Marks the shard as being changed.
    mutating func begin(generation: Store.Generation = 0) throws(StoreError) {
        guard mutex.file.isWritable else {
            throw StoreError(
                files.isReadOnly ? .readOnly : .noPermission, "change the store", path: files.path)
        }
        // Known already, unless this process cannot know it.
        _ = try files.place()
        let mark = mutex.shards.directoryMark(of: shard)
        if block.mark != mark {
            if block.mark == .absent {
                // It has just been made, and this is quick; or somebody has put it there.
                let (fresh, count) = try Self.countAnew(
                    mutex, highest: block.highest, block.boot)
                block = fresh
                areCountsKnown = count?.isSound == true
            } else {
                areCountsKnown = false
            }
        }
        unsafe Store.beforeChange?()
        var marked = block
        marked.changer = Process.id
        marked.highest = max(block.highest, generation)
        try mutex.write(marked)
        block.highest = marked.highest
    }

    /// Leaves it to who needs the counts to count anew.
    mutating func doubtCounts() { areCountsKnown = false }

    /// Says what the change made of the counts.
    ///
    /// - Parameter name: of a key whose claim the change has ended: who waits for it is to look.
    mutating func commit(ending name: EntryName? = nil) {
        mutex.ended = name
        block.mark = areCountsKnown ? mutex.shards.directoryMark(of: shard) : .unknown
        // The change itself has happened. Where this fails the mark stays, and the next counts anew.
        try? mutex.write(block)
    }
}

extension HeldShard {
    /// The shard's names, none missed and none twice.
    borrowing func names(
        in directory: Directory, _ wanted: ShardNames.Wanted = .all
    ) throws(StoreError) -> ShardNames {
        try files.names(in: directory, of: shard, wanted)
    }
}
