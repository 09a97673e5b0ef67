internal import SystemCalls

/// A shard's mutex, held by this thread; dropped, it is released.
///
/// Two locks: one between the threads of this process, which share a descriptor, and the lock on a
/// byte of `locks/shards` between processes, which the kernel drops when its process dies.
struct ShardMutex: ~Copyable {
    let store: OpenStore
    let shard: Int
    let file: ShardFile
    /// The key whose claim has ended under this mutex; its waiters are woken when it is free.
    var ended: EntryName?

    init(_ store: OpenStore, _ shard: Int, patience: Duration) throws(StoreError) {
        let file = try store.shardFile()
        let deadline = BootTime.now.advanced(by: patience)
        guard store.mutexes.lock(shard, until: deadline) else {
            throw Self.stuck(store, shard, file, patience)
        }
        do throws(StoreError) {
            try Self.lock(store, shard, file, until: deadline, patience)
        } catch {
            store.mutexes.unlock(shard)
            throw error
        }
        self.store = store
        self.shard = shard
        self.file = file
        ended = nil
    }

    deinit {
        file.unlock(shard)
        store.mutexes.unlock(shard)
        store.knownBoard?.wake(.mutex(shard), most: 1, bits: .max)
        if let ended { store.tellWaiters(of: ended) }
    }

    /// Takes the lock between processes by trying; in between it sleeps, on the board where there is
    /// one, so that whoever releases it ends the sleep.
    private static func lock(
        _ store: OpenStore, _ shard: Int, _ file: ShardFile, until deadline: BootTime,
        _ patience: Duration
    ) throws(StoreError) {
        var pause = Pause()
        var board: Board?
        while true {
            let seen = board?.announce(.mutex(shard)) ?? 0
            if try file.tryLock(shard) { return }
            guard BootTime.now < deadline else { throw stuck(store, shard, file, patience) }
            if let board {
                board.wait(.mutex(shard), seen, bits: .max, until: pause.nextEnd(until: deadline))
            } else {
                pause.next(until: deadline)
                if !pause.yields { board = store.boardForWaking() }
            }
        }
    }

    borrowing func write(_ block: ShardBlock) throws(StoreError) {
        try attempt("write", store.lockFile(Layout.shards)) { () throws(Errno) in
            try file.write(block, of: shard)
        }
    }

    /// From what time on a wait that has ended is looked into, which takes milliseconds.
    ///
    /// Shorter ones are tries: of tasks, of those who keep leases, and of counting. They come again.
    private static let worthASearch = Duration.seconds(1)

    /// The error of a change that had to wait for somebody else's that long.
    static func stuck(
        _ store: OpenStore, _ shard: Int, _ file: ShardFile, _ patience: Duration
    ) -> StoreError {
        // The kernel knows who has it. The mark may be one that a killed process left, with the mutex held
        // by a process that has not changed anything yet; it counts where the holder cannot be seen.
        if patience >= worthASearch, let holder = file.holder(of: shard) {
            return .stuck(store.path, behind: holder, after: patience)
        }
        let changer = (try? file.read(shard))?.changer ?? 0
        let isThere = changer > 0 && Process.exists(changer)
        return .stuck(store.path, behind: isThere ? changer : nil, after: patience)
    }
}

/// Sleeps between looks at something that others change, longer from time to time.
struct Pause {
    private var nanoseconds: Int64
    private let longest: Int64
    private var yieldsLeft: Int

    /// A shard mutex is held for 10 to 40 µs, so the first looks only let others run.
    ///
    /// 5 ms is long for a sleep and short for a person.
    init(shortest: Int64 = 20_000, longest: Int64 = 5_000_000, yields: Int = 4) {
        nanoseconds = shortest
        self.longest = longest
        yieldsLeft = yields
    }

    /// Whether the next pause only lets others run.
    var yields: Bool { yieldsLeft > 0 }

    /// One pause.
    mutating func next(until deadline: BootTime) {
        if yieldsLeft > 0 {
            yieldsLeft -= 1
            yieldProcessor()
            return
        }
        let end = nextEnd(until: deadline)
        sleep(nanoseconds: max(1, end.nanoseconds - BootTime.now.nanoseconds))
    }

    /// When the next pause ends, with jitter so that those who began together do not go on together.
    mutating func nextEnd(until deadline: BootTime) -> BootTime {
        let jittered = nanoseconds / 2 + Int64.random(in: 0...nanoseconds)
        nanoseconds = min(nanoseconds * 2, longest)
        return min(deadline, BootTime.now.advanced(by: .nanoseconds(jittered)))
    }
}
