internal import SystemCalls

extension Session {
    /// Removes values that are too old, and the least recently used beyond a number and a size.
    ///
    /// A value that is being computed anew stays until the new one is there, as its claim promised.
    func evict(from store: OpenStore, _ request: ReapRequest) throws(StoreError) {
        if let maxAge = request.limits.maxAge { try evictOlder(than: maxAge, from: store, request) }
        guard request.limits.maxEntries != nil || request.limits.maxBytes != nil,
            let plan = try EvictionPlan(store, request.limits)
        else { return }
        try evict(plan, from: store, request)
    }

    private func evictOlder(
        than maxAge: Duration, from store: OpenStore, _ request: ReapRequest
    ) throws(StoreError) {
        try forEachReady(in: store) { (name, directory) throws(StoreError) in
            let isOld = { () throws(StoreError) -> Bool in
                try store.withRecord(name.ready, of: name, in: directory) { (file) throws(Errno) in
                    guard let (_, value) = try ReadyFile.readHeads(file, of: name) else {
                        return false
                    }
                    return WallClock.microseconds - value.finalized > maxAge.clampedMicroseconds
                } ?? false
            }
            guard try isOld() else { return }
            try remove(name, .tooOld, from: store, request, in: directory, if: isOld)
        }
    }

    private func evict(
        _ plan: EvictionPlan, from store: OpenStore, _ request: ReapRequest
    ) throws(StoreError) {
        try forEachReady(in: store) { (name, directory) throws(StoreError) in
            let isUnused = { () throws(StoreError) -> Bool in
                let status = try attempt("read", store.file(name.ready, in: name.shard)) {
                    () throws(Errno) in try directory.status(of: name.ready)
                }
                return status.map { EvictionPlan.Use($0) <= plan.cutoff } ?? false
            }
            guard try isUnused() else { return }
            try remove(name, .evicted, from: store, request, in: directory, if: isUnused)
        }
    }

    /// Removes a value if, under the mutex, the reason still holds and nobody computes it anew.
    private func remove(
        _ name: EntryName, _ reason: Store.Reaped.Reason, from store: OpenStore,
        _ request: ReapRequest, in directory: Directory, if holds: () throws(StoreError) -> Bool
    ) throws(StoreError) {
        guard let key = EntryName.decode(name.encoded) else { return }
        var held = try HeldShard(store, name.shard)
        guard try holds() else { return }
        let generation = try store.readyGeneration(name, in: directory) ?? 0
        if let claim = try store.standingClaim(name, besideReady: generation, in: directory),
            try store.liveHolder(of: claim) != nil
        {
            return
        }
        if !request.dryRun { _ = try store.removeFiles(of: name, &held, in: directory) }
        request.report(Store.Reaped(key: Store.Key(key), reason: reason))
    }

    private func forEachReady(
        in store: OpenStore, _ body: (EntryName, Directory) throws(StoreError) -> Void
    ) throws(StoreError) {
        for shard in 0..<Layout.shardCount {
            guard let directory = try store.shardDirectoryNow(shard) else { continue }
            let names = try HeldShard(store, shard).names(in: directory)
            for (encoded, files) in names.entries where files.hasReady {
                _ = try unlessPlanted { () throws(StoreError) -> Void? in
                    try body(EntryName(shard: shard, encoded: encoded), directory)
                }
            }
        }
    }
}

/// What has to go so that the limits are kept.
private struct EvictionPlan {
    /// When a value was last used.
    ///
    /// Many have the same time, the kernel's clock being coarse; all reapers must then choose the
    /// same, or several at once would remove too much. So the inode decides.
    struct Use: Comparable {
        /// Nanoseconds since 1970.
        let modified: Int64
        let inode: UInt64

        init(_ status: FileStatus) { (modified, inode) = (status.modified, status.inode) }

        static func < (a: Use, b: Use) -> Bool {
            (a.modified, a.inode) < (b.modified, b.inode)
        }
    }

    /// The last of the values that have to go.
    let cutoff: Use

    /// nil when the limits are kept already.
    ///
    /// Three numbers are kept in memory for each value.
    init?(_ store: OpenStore, _ limits: Store.ReapLimits) throws(StoreError) {
        var found: [(use: Use, size: Int)] = []
        for shard in 0..<Layout.shardCount {
            guard let directory = try store.shardDirectoryNow(shard) else { continue }
            let names = try HeldShard(store, shard).names(in: directory)
            for (encoded, files) in names.entries where files.hasReady {
                let name = EntryName(shard: shard, encoded: encoded)
                let status = try attempt("read", store.file(name.ready, in: shard)) {
                    () throws(Errno) in try directory.status(of: name.ready)
                }
                if let status { found.append((Use(status), status.size)) }
            }
        }
        let excessEntries = found.count - max(0, limits.maxEntries ?? .max)
        let excessBytes = found.reduce(0) { $0 + $1.size } - max(0, limits.maxBytes ?? .max)
        guard excessEntries > 0 || excessBytes > 0 else { return nil }
        found.sort { $0.use < $1.use }
        var (entries, bytes) = (0, 0)
        for (use, size) in found {
            entries += 1
            bytes += size
            if entries >= excessEntries && bytes >= excessBytes {
                cutoff = use
                return
            }
        }
        return nil
    }
}
