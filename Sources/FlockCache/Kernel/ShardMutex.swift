internal import SystemCalls

/// A shard's mutex, held by this thread; dropped, it is released.
///
/// Two locks: one between the threads of this process, which share a descriptor, and the lock on a
/// byte of `locks/shards` between processes, which the kernel drops when its process dies.
struct ShardMutex: ~Copyable {
    let store: OpenStore
    let shard: Int
    let file: ShardFile

    /// How long a change waits for somebody else's: they take microseconds, so this long means a
    /// stopped process.
    static let patience = Duration.seconds(10)

    init(_ store: OpenStore, _ shard: Int, patience: Duration) throws(StoreError) {
        let file = try store.shardFile()
        let deadline = BootTime.now.advanced(by: patience)
        guard store.mutexes.lock(shard, until: deadline) else {
            throw Self.stuck(store, shard, file, patience)
        }
        do throws(StoreError) {
            var pause = Pause()
            while try !file.tryLock(shard) {
                guard BootTime.now < deadline else {
                    throw Self.stuck(store, shard, file, patience)
                }
                pause.next(until: deadline)
            }
        } catch {
            store.mutexes.unlock(shard)
            throw error
        }
        self.store = store
        self.shard = shard
        self.file = file
    }

    deinit {
        file.unlock(shard)
        store.mutexes.unlock(shard)
    }

    borrowing func write(_ block: ShardBlock) throws(StoreError) {
        try attempt("write", store.lockFile(Layout.shards)) { () throws(Errno) in
            try file.write(block, of: shard)
        }
    }

    private static func stuck(
        _ store: OpenStore, _ shard: Int, _ file: ShardFile, _ patience: Duration
    ) -> StoreError {
        // The mark may be one that a killed process left, with the mutex held by somebody who has not
        // changed anything yet.
        let changer = (try? file.read(shard))?.changer ?? 0
        let isThere = changer > 0 && Process.exists(changer)
        return .stuck(store.path, behind: isThere ? changer : nil, after: patience)
    }
}

/// Sleeps between looks at something that others change, longer from time to time.
struct Pause {
    private var nanoseconds: Int64
    private let longest: Int64
    private var yields: Int

    /// A shard mutex is held for 10 to 40 µs, so the first looks only let others run.
    ///
    /// 5 ms is long for a sleep and short for a person.
    init(shortest: Int64 = 20_000, longest: Int64 = 5_000_000, yields: Int = 4) {
        nanoseconds = shortest
        self.longest = longest
        self.yields = yields
    }

    /// One pause, with jitter so that those who began together do not go on together.
    mutating func next(until deadline: BootTime) {
        if yields > 0 {
            yields -= 1
            yieldProcessor()
            return
        }
        let left = deadline.nanoseconds - BootTime.now.nanoseconds
        let jittered = nanoseconds / 2 + Int64.random(in: 0...nanoseconds)
        sleep(nanoseconds: max(1, min(jittered, left)))
        nanoseconds = min(nanoseconds * 2, longest)
    }
}
