internal import SystemCalls

extension Store {
    /// How many entries there are.
    public struct Counts: Hashable, Sendable {
        /// Claims, torn and stale ones included.
        public let pending: Int
        /// Values.
        public let ready: Int
        /// The sizes of the READY records' files, heads included.
        public let bytes: Int
        /// False when a shard was being changed for longer than a tenth of a second; then its counts
        /// before that change stand in.
        public let isExact: Bool
    }
}

/// The names in a shard, as they were under its mutex.
struct ShardNames {
    /// By the names of their READY records.
    var entries: [[UInt8]: Files] = [:]
    var temporaries: [FileName] = []
    private let wanted: Wanted

    struct Files {
        var hasReady = false
        var hasPending = false
    }

    enum Wanted {
        case all
        /// Claims and temporaries, until as many were found.
        ///
        /// Reading a large directory is dear, 0.7 µs a name on tmpfs, and the newest names often come first.
        case unfinished(pending: Int, temporaries: Int)

        static let allUnfinished = Wanted.unfinished(pending: .max, temporaries: .max)
    }

    /// Whether what was wanted has been found before the end.
    var isEnough: Bool {
        guard case .unfinished(let pending, let wantedTemporaries) = wanted else { return false }
        return entries.count >= pending && temporaries.count >= wantedTemporaries
    }

    init(_ wanted: Wanted) { self.wanted = wanted }

    /// Passes over what is no name of ours.
    mutating func add(_ name: UnsafeBufferPointer<UInt8>) {
        let suffix = EntryName.pendingSuffix
        let isPending =
            name.last == suffix.last && name.count > suffix.count
            && name.suffix(suffix.count).elementsEqual(suffix)
        if case .unfinished = wanted, !isPending, name.first != UInt8(ascii: ".") { return }
        if Layout.temporarySession(of: name) != nil {
            temporaries.append(FileName(name))
            return
        }
        let entry = [UInt8](isPending ? name.dropLast(suffix.count) : name[...])
        guard EntryName.decode(entry) != nil else { return }
        if isPending {
            entries[entry, default: Files()].hasPending = true
        } else {
            entries[entry, default: Files()].hasReady = true
        }
    }
}

extension OpenStore {
    /// Reads a shard's names.
    ///
    /// Whoever needs every key once holds the mutex: without it a listing missed and repeated keys.
    func names(
        in directory: Directory, of shard: Int, _ wanted: ShardNames.Wanted = .all
    ) throws(StoreError) -> ShardNames {
        var names = ShardNames(wanted)
        try attempt("list", file(Layout.shard(shard), in: nil)) { () throws(Errno) in
            try directory.forEachName { name in
                names.add(name)
                return !names.isEnough
            }
        }
        return names
    }

    /// Counts a shard from its names and `stat`, reading only records of keys that have both files.
    ///
    /// The caller has the shard's mutex.
    ///
    /// What a killed finalize left beside a value is removed on the way, where the store can be
    /// written: it is counted nowhere, so that no reaper would look for it.
    func count(_ shard: Int, removingDebris: Bool) throws(StoreError) -> ShardCounts {
        var counts = ShardCounts()
        guard let directory = try shardDirectory(shard, making: false) else { return counts }
        let names = try names(in: directory, of: shard)
        counts.temporaries = names.temporaries.count
        for (encoded, files) in names.entries {
            let name = EntryName(shard: shard, encoded: encoded)
            if files.hasReady {
                counts.ready += 1
                counts.bytes += try attempt("read", file(name.ready, in: shard)) {
                    () throws(Errno) in
                    try directory.status(of: name.ready)?.size ?? 0
                }
            }
            guard files.hasPending else { continue }
            let isDebris = try unlessPlanted(closedToo: false) { () throws(StoreError) in
                guard let ready = try readyGeneration(name, in: directory) else { return false }
                return try standingClaim(name, besideReady: ready, in: directory) == nil
            }
            if isDebris == true {
                // Where it cannot be removed it stays harmless.
                if removingDebris { _ = try? directory.unlink(name.pending) }
                continue
            }
            counts.pending += 1
        }
        return counts
    }
}

extension Session {
    /// The sum of the shards' counts, and whether each was exact.
    ///
    /// One read of the blocks. A shard whose block is dirty, of another boot or being written is looked
    /// at under its mutex, all of them for a tenth of a second together; beyond that its last known
    /// counts are used.
    package func counts() throws(StoreError) -> Store.Counts {
        guard let store = try existingNow(), let file = try store.shardFileForReading() else {
            return Store.Counts(pending: 0, ready: 0, bytes: 0, isExact: true)
        }
        var sum = ShardCounts()
        var isExact = true
        let boot = try store.placeIfKnown()?.boot
        let blocks = try file.readAll()
        let deadline = BootTime.now.advanced(by: .milliseconds(100))
        for (shard, block) in blocks.enumerated() {
            if let block, block.changer == 0, block.boot == boot {
                sum.add(block.counts)
                continue
            }
            do throws(StoreError) {
                let left = deadline.nanoseconds - BootTime.now.nanoseconds
                let held = try HeldShard(store, shard, patience: .nanoseconds(max(0, left)))
                sum.add(held.block.counts)
            } catch {
                guard error.code == .timedOut else { throw error }
                isExact = false
                if let block { sum.add(block.counts) }
            }
        }
        return Store.Counts(
            pending: sum.pending, ready: sum.ready, bytes: sum.bytes, isExact: isExact)
    }
}
