internal import SystemCalls

/// A shard's mutex, held by this thread; dropped, it is released.
///
/// Two locks: one between the threads of this process, which share a descriptor, and the lock on a
/// byte of `locks/shards` between processes, which the kernel drops when its process dies.
struct ShardMutex: ~Copyable {
    let shards: Shards
    let shard: Int
    let file: ShardFile
    /// The key whose claim has ended under this mutex; its waiters are woken when it is free.
    var ended: EntryName?
    /// The blocks as memory, from `look` on.
    private var mapped: MappedBlocks?

    init(_ shards: Shards, _ shard: Int, patience: Duration) throws(StoreError) {
        let file = try shards.file()
        let limit = TimeLimit(patience)
        guard shards.mutexes.lock(shard, until: limit) else {
            throw Self.stuck(shards, shard, file, patience)
        }
        do throws(StoreError) {
            try Self.lock(shards, shard, file, until: limit, patience)
        } catch {
            shards.mutexes.unlock(shard)
            throw error
        }
        self.shards = shards
        self.shard = shard
        self.file = file
        ended = nil
        mapped = nil
    }

    /// Looks at the file, as must be done after each lock; false where it has lost its name, and its locks exclude
    /// nobody.
    mutating func look() throws(StoreError) -> Bool {
        guard let status = try file.linkedStatus() else { return false }
        mapped = shards.mapped(file, status)
        return true
    }

    /// The shard's block, see `ShardFile`.
    borrowing func read() throws(StoreError) -> ShardBlock? { try file.read(shard, in: mapped) }

    deinit {
        // Behind the change, and while the file is known to be whole.
        let mayHaveBoard = ended == nil || mapped?.mayHaveBoard != false
        file.unlock(shard)
        shards.mutexes.unlock(shard)
        shards.board.known?.wake(.mutex(shard), most: 1, bits: .max)
        if let ended, mayHaveBoard { shards.board.tellWaiters(of: ended) }
    }

    /// How often it is tried before the first sleep, and how many nanoseconds lie between two tries.
    ///
    /// A change takes 10 to 20 µs, and the shortest sleep 70. Not more often: all mutexes of the file share one lock
    /// of the kernel.
    private static let spins = 10
    private static let betweenTries: Int64 = 3_000

    /// Takes the lock between processes by trying; in between it sleeps, on the board where there is
    /// one, so that whoever releases it ends the sleep.
    private static func lock(
        _ shards: Shards, _ shard: Int, _ file: ShardFile, until limit: TimeLimit,
        _ patience: Duration
    ) throws(StoreError) {
        if try file.tryLock(shard) { return }
        if hasOtherProcessors {
            for _ in 0..<Self.spins {
                spin(nanoseconds: Self.betweenTries)
                if try file.tryLock(shard) { return }
            }
        }
        var pause = Pause()
        var board: Board?
        var patience = Patience(patience, until: limit)
        while true {
            let wait = BoardWait(.mutex(shard), bits: .max, on: board)
            if try file.tryLock(shard) { return }
            if patience.limit.isOver, !patience.goesOn(behind: file.holder(of: shard)) {
                throw stuck(shards, shard, file, patience.waited)
            }
            if wait.hasBoard {
                wait.sleep(until: pause.nextEnd(until: patience.limit.deadline))
            } else {
                pause.next(until: patience.limit.deadline)
                if !pause.yields { board = shards.board.forWaking() }
            }
        }
    }

    borrowing func write(_ block: ShardBlock) throws(StoreError) {
        try attempt("write", shards.files.lockFile(Layout.shards)) { () throws(Errno) in
            try file.write(block, of: shard, to: mapped)
        }
    }

    /// The error of a change that had to wait for somebody else's that long.
    static func stuck(
        _ shards: Shards, _ shard: Int, _ file: ShardFile, _ patience: Duration
    ) -> StoreError {
        // The kernel knows the holder. The pid in the block may be stale: left by a killed process while
        // another holds the mutex and has not written its own yet. It counts only where the kernel cannot tell.
        if patience >= Patience.worthASearch, let holder = file.holder(of: shard) {
            return .stuck(shards.files.path, behind: holder, after: patience)
        }
        let changer = (try? file.read(shard))?.changer ?? 0
        let isThere = changer > 0 && Process.exists(changer)
        return .stuck(shards.files.path, behind: isThere ? changer : nil, after: patience)
    }
}
