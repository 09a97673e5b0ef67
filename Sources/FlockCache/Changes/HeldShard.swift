internal import SystemCalls

/// A shard whose mutex this thread has; dropped, it is released.
///
/// While this value lives nobody else, thread or process, changes any key of the shard. A change is
/// `begin`, the file operations, `commit`: the block says "changing" from before the first to after
/// the last, so that whoever is killed in between leaves a mark, and the next counts anew. A change
/// that throws half-way leaves the same mark.
///
/// In a store with a journal of changes `begin` also says what is intended, and `commit` tells of it before the
/// mark is cleared; whoever finds the mark of a killed process tells in its place, before anything else.
struct HeldShard: ~Copyable {
    private var mutex: ShardMutex
    /// The counts as they are, and after `begin` as the change makes them.
    var block: ShardBlock
    /// What counting anew came to, where it was done.
    let counted: ShardCount?
    /// Whether the counts are those of the directory, and `commit` may say so.
    private var areCountsKnown: Bool
    /// Of a store that tells of its changes.
    private let changes: ChangeJournal?
    /// What was begun and is not told yet.
    private var intent: Intent?
    /// Why what a killed process has changed here could not be told: then nothing more may be changed.
    private var untold: StoreError?
    /// Whether the change that was begun adds or removes names.
    private var changesNames = true
    /// The block as the mutex was taken; nil where the shard was counted anew since.
    private let found: ShardBlock?
    /// The mark of the directory as it is, once looked at: nobody else changes it meanwhile.
    private var directoryMark: DirectoryMark?

    /// Whether the change that was begun has a mark in the block.
    private var isMarked: Bool { changesNames || changes != nil }

    var files: StoreFiles { mutex.shards.files }
    var shard: Int { mutex.shard }

    /// Takes the mutex, waiting for it at most that long, and counts the shard anew where need be.
    ///
    /// - Parameter verifying: whether it is also counted where files came or went beside this program: for who
    ///   needs the counts themselves. A change does without, and leaves that to them.
    init(
        _ shards: Shards, _ shard: Int, telling changes: ChangeJournal?,
        patience: Duration = Limits.patience, verifying: Bool = false
    ) throws(StoreError) {
        var mutex = try ShardMutex(shards, shard, patience: patience)
        guard try mutex.look() else { throw .replaced(shards.files.path) }
        shards.files.refresh(shard: shard)
        let current: ShardBlock
        let count: ShardCount?
        (current, count, untold) = try Self.currentBlock(
            mutex, telling: changes, patience, verifying: verifying)
        block = current
        counted = count
        found = count == nil ? current : nil
        self.changes = changes
        // Beyond the greatest number nothing can be added or taken away.
        areCountsKnown = (count?.isSound ?? true) && current.counts.isSumKnown
        self.mutex = mutex
    }

    private static func currentBlock(
        _ mutex: borrowing ShardMutex, telling changes: ChangeJournal?, _ patience: Duration,
        verifying: Bool
    ) throws(StoreError) -> (ShardBlock, ShardCount?, untold: StoreError?) {
        let (files, shard) = (mutex.shards.files, mutex.shard)
        let boot = try files.placeIfKnown()?.boot
        let found = try mutex.read()
        if let found, found.changer == 0, files.isCounted(found, in: boot),
            !verifying
                || found.mark != .unknown && found.mark == mutex.shards.directoryMark(of: shard)
        {
            return (found, nil, nil)
        }
        // First of all: so the files are as the killed process has left them.
        if let changes, mutex.file.isWritable, found?.changer != 0 {
            do throws(StoreError) {
                try changes.recover(mutex.shard, patience)
            } catch {
                // Reading goes on; the mark stays, and with it what the next has to tell.
                let (block, count) = try counted(mutex, found)
                return (block, count, error)
            }
        }
        guard let boot else {
            let (block, count) = try counted(mutex, found)
            return (block, count, nil)
        }
        if found?.boot != boot, files.isLocal, mutex.file.isWritable {
            try files.mendTornLeases(shard)
        }
        // A block that is lost takes the generations of leases with it whose records tell them.
        let highest = found?.highest ?? 0
        let (block, count) = try countAnew(
            mutex, highest: highest > 0 ? highest : try files.highestLeaseGeneration(of: shard),
            boot)
        return (block, count, nil)
    }

    /// The block of a shard that a killed change, another boot, a copy or somebody's hand left unknown.
    ///
    /// What cannot be counted for sure leaves the mark unknown, so that who needs the counts counts again.
    private static func countAnew(
        _ mutex: borrowing ShardMutex, highest: Store.Generation, _ boot: BootID
    ) throws(StoreError) -> (ShardBlock, ShardCount?) {
        let files = mutex.shards.files
        let count = try files.count(mutex.shard, removingDebris: mutex.file.isWritable)
        if files.isDurable && mutex.file.isWritable { try synchroniseNames(mutex) }
        var block = ShardBlock()
        block.highest = highest
        block.boot = boot
        block.counts = count.counts
        block.mark = count.isSound ? mutex.shards.directoryMark(of: mutex.shard) : .unknown
        if mutex.file.isWritable { try mutex.write(block) }
        return (block, count)
    }

    /// Puts the shard's names on the device: whoever was killed in the middle of a change may not have come to it,
    /// and who counts in a record in place relies on its name.
    private static func synchroniseNames(_ mutex: borrowing ShardMutex) throws(StoreError) {
        let (files, shard) = (mutex.shards.files, mutex.shard)
        guard let directory = try files.shardDirectory(shard, making: false) else { return }
        try attempt("synchronise", files.file(Layout.shard(shard), in: nil)) { () throws(Errno) in
            try directory.sync()
        }
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
        above found: Store.Generation = 0, now: Int64 = WallClock.microseconds
    ) throws(StoreError) -> Store.Generation {
        let next = max(UInt64(clamping: now), block.highest + 1, found + 1)
        // The parser refuses generations above this, so such a claim would look torn, and everybody would win.
        guard next <= Limits.generation else { throw .noGenerationLeft(files.path) }
        return next
    }

    /// Marks the shard as being changed.
    ///
    /// - Parameters:
    ///   - generation: that the change gives, if it gives one.
    ///   - changingNames: false for a change in a file alone: what the block says of the directory, whether it is
    ///     right or not, then stays, and nothing needs to be counted anew after a kill. So there is no mark either:
    ///     the generation alone is written, and `commit` writes nothing. A store that tells of its changes has the
    ///     mark all the same.
    ///   - intended: what is about to be done, for who has to tell of it if this process is killed.
    /// - Throws: also where the journal of changes has no room to tell of it.
    mutating func begin(
        generation: Store.Generation = 0, changingNames: Bool = true,
        _ intended: @autoclosure () -> Intent
    ) throws(StoreError) {
        guard mutex.file.isWritable else {
            throw StoreError(
                files.refusesAllWriting ? .readOnly : .noPermission, "change the store",
                path: files.path)
        }
        if let untold { throw untold }
        // Known already, unless this process cannot know it.
        _ = try files.place()
        changesNames = changingNames
        if changingNames { try compareMark() }
        // Before the mark: an intent beside a clean block is nobody's.
        if let changes { intent = try changes.announce(intended(), of: shard) }
        unsafe Store.beforeChange?()
        var marked = block
        if isMarked { marked.changer = mutex.shards.processID }
        marked.highest = max(block.highest, generation)
        try mutex.write(marked)
        block.highest = marked.highest
    }

    /// Whether no key of the shard has become claimed, READY or absent since its block was seen to be that, without
    /// the mutex or under it: then a key that was looked at after that need not be looked at again.
    ///
    /// Each such change shows in the block when it ends, and others do not take it back. A claim and a value that is
    /// set raise the highest generation, which never falls. While that stands, claims only end, and their number
    /// falls; while that stands too, values only go. What a killed process has changed is in the counts once the
    /// shard was counted anew.
    ///
    /// It does not show that a claim was renewed, nor always that a number was counted in place: look at these again.
    /// What hands have changed shows in the directory's mark. On a network file system a look may be answered by what
    /// was there before: never there.
    mutating func isUnchanged(since seen: ShardBlock?) -> Bool {
        guard let seen, let found, seen == found, seen.mark != .unknown, files.isLocal else {
            return false
        }
        return currentMark() == seen.mark
    }

    private mutating func currentMark() -> DirectoryMark {
        if let directoryMark { return directoryMark }
        let mark = mutex.shards.directoryMark(of: shard)
        directoryMark = mark
        return mark
    }

    /// Has those who wait for a key look at it, also where the change is not committed.
    mutating func tellWaiters(of name: EntryName) { mutex.ended = name }

    /// Sees whether files have come or gone beside this program.
    private mutating func compareMark() throws(StoreError) {
        guard block.mark != currentMark() else { return }
        guard block.mark == .absent else {
            areCountsKnown = false
            return
        }
        // It has just been made, and this is quick; or somebody has put it there.
        let (fresh, count) = try Self.countAnew(mutex, highest: block.highest, block.boot)
        block = fresh
        areCountsKnown = count?.isSound == true
    }

    /// Leaves it to who needs the counts to count anew.
    mutating func doubtCounts() { areCountsKnown = false }

    /// Tells of the change, and says what it made of the counts.
    ///
    /// - Parameter name: of a key whose claim the change has ended: who waits for it is to look.
    mutating func commit(ending name: EntryName? = nil) {
        mutex.ended = name
        if let changes, let told = intent.take() {
            untold = changes.tellNow(told, of: shard)
            // The mark stays, and whoever takes the mutex next tells of the change first.
            if untold != nil { return }
        }
        clear()
    }

    /// The same of a change of which a part was undone.
    mutating func commit(telling events: [ToldEvent]) {
        intent?.events = events
        commit()
    }

    /// Says that nothing was changed after all.
    mutating func takeBack() {
        intent = nil
        clear()
    }

    private mutating func clear() {
        guard isMarked else { return }
        directoryMark = nil
        if changesNames {
            block.mark = areCountsKnown ? mutex.shards.directoryMark(of: shard) : .unknown
        }
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
