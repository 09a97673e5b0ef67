internal import SystemCalls

extension Session {
    /// Removes values that are too old, and the least recently used beyond a number and a size.
    ///
    /// A value that is being computed anew stays until the new one is there, as its claim promised.
    func evict(
        from store: OpenStore, _ request: ReapRequest, _ pass: Pass
    ) throws(StoreError) {
        if let maxAge = request.limits.maxAge {
            try evictOlder(than: maxAge, from: store, request, pass)
        }
        guard request.limits.maxEntries != nil || request.limits.maxBytes != nil,
            let plan = try EvictionPlan(store, request, pass)
        else { return }
        try evict(plan, from: store, request, pass)
    }

    private func evictOlder(
        than maxAge: Duration, from store: OpenStore, _ request: ReapRequest, _ pass: Pass
    ) throws(StoreError) {
        try store.forEachReady(pass) { (name, directory) throws(StoreError) in
            let isOld = { () throws(StoreError) -> Bool in
                try store.isOlder(name, than: maxAge, in: directory)
            }
            guard try isOld() else { return }
            try remove(name, .tooOld, from: store, request, in: directory, if: isOld)
        }
    }

    private func evict(
        _ plan: EvictionPlan, from store: OpenStore, _ request: ReapRequest, _ pass: Pass
    ) throws(StoreError) {
        try store.forEachReady(pass) { (name, directory) throws(StoreError) in
            let hasToGo = { () throws(StoreError) -> Bool in
                guard let status = try store.readyStatus(of: name, in: directory),
                    plan.includes(status)
                else { return false }
                return try !store.isGone(name, by: request, in: directory)
            }
            guard try hasToGo() else { return }
            try remove(name, .evicted, from: store, request, in: directory, if: hasToGo)
        }
    }

    /// Removes a value if, under the mutex, the reason still holds and nobody computes it anew.
    private func remove(
        _ name: EntryName, _ reason: Store.Reaped.Reason, from store: OpenStore,
        _ request: ReapRequest, in directory: Directory, if holds: () throws(StoreError) -> Bool
    ) throws(StoreError) {
        var held = try HeldShard(store, name.shard)
        guard try holds() else { return }
        let generation = try store.files.readyGeneration(name, in: directory) ?? 0
        if let claim = try store.files.standingClaim(name, besideReady: generation, in: directory),
            try store.liveHolder(of: claim) != nil
        {
            return
        }
        if !request.dryRun {
            _ = try store.removeFiles(of: name, telling: .reaped, &held, in: directory)
        }
        request.report(Store.Reaped(key: name.key, reason: reason))
    }
}

extension OpenStore {
    /// Whether a value was published longer ago.
    fileprivate func isOlder(
        _ name: EntryName, than maxAge: Duration, in directory: Directory
    ) throws(StoreError) -> Bool {
        try files.withRecord(name.ready, of: name, in: directory) { (file) throws(Errno) in
            try ReadyFile.readHeads(file, of: name).map {
                ValueSection.isOld($0.finalized, than: maxAge)
            } ?? false
        } ?? false
    }

    /// Whether a pass that removes nothing has told already that a value is too old.
    fileprivate func isGone(
        _ name: EntryName, by request: ReapRequest, in directory: Directory
    ) throws(StoreError) -> Bool {
        guard request.dryRun, let maxAge = request.limits.maxAge else { return false }
        return try isOlder(name, than: maxAge, in: directory)
    }

    /// Calls a closure with every value; what fails for one of them, or for a shard, is passed over.
    fileprivate func forEachReady(
        _ pass: Pass, _ body: (EntryName, Directory) throws(StoreError) -> Void
    ) throws(StoreError) {
        for shard in 0..<Layout.shardCount {
            let found = try pass.part { () throws(StoreError) -> (ShardNames, Directory)? in
                guard let directory = try files.shardDirectoryNow(shard) else { return nil }
                return (try HeldShard(self, shard).names(in: directory), directory)
            }
            guard let (names, directory) = found ?? nil else { continue }
            for name in names.planted { pass.notice(.planted(file(name, in: shard))) }
            for (encoded, files) in names.entries where files.hasReady {
                guard let name = EntryName(shard: shard, encoded: encoded) else { continue }
                _ = try pass.record { () throws(StoreError) in
                    try body(name, directory)
                }
            }
        }
    }

    /// nil where there is none, or something else.
    fileprivate func readyStatus(
        of name: EntryName, in directory: Directory
    ) throws(StoreError) -> FileStatus? {
        try attempt("read", file(name.ready, in: name.shard)) { () throws(Errno) in
            try directory.status(of: name.ready).flatMap { $0.isRegular ? $0 : nil }
        }
    }
}

/// What has to go so that the limits are kept.
///
/// First the values that are beyond the size by themselves: they can never stay, and to make room for one all
/// others would go in vain. Then the least recently used, until what is left is within the limits.
private struct EvictionPlan {
    /// When a value was last used.
    ///
    /// Many have the same time, the kernel's clock being coarse; all reapers must then choose the
    /// same, or several at once would remove too much. So the inode decides.
    struct Use: Comparable {
        /// Nanoseconds since 1970.
        let modified: Int64
        let inode: UInt64

        static func < (a: Use, b: Use) -> Bool {
            (a.modified, a.inode) < (b.modified, b.inode)
        }
    }

    /// Nanoseconds since 1970.
    private let now: Int64
    private let mostBytes: Int
    /// The last of the other values that have to go; nil where none has.
    private var cutoff: Use?

    /// nil when the limits are kept already.
    ///
    /// Three numbers are kept in memory for each value. Sums are of twice the width: sparse files may have any
    /// size.
    init?(_ store: OpenStore, _ request: ReapRequest, _ pass: Pass) throws(StoreError) {
        let limits = request.limits
        now = WallClock.nanoseconds
        mostBytes = max(0, limits.maxBytes ?? .max)
        var found: [(use: Use, size: Int)] = []
        var hasTooLarge = false
        try store.forEachReady(pass) { [mostBytes, now] (name, directory) throws(StoreError) in
            guard let status = try store.readyStatus(of: name, in: directory),
                try !store.isGone(name, by: request, in: directory)
            else { return }
            if status.size > mostBytes {
                hasTooLarge = true
            } else {
                found.append((Self.use(status, now), status.size))
            }
        }
        let excessEntries = found.count - max(0, limits.maxEntries ?? .max)
        let excessBytes = found.reduce(Int128(0)) { $0 + Int128($1.size) } - Int128(mostBytes)
        guard excessEntries > 0 || excessBytes > 0 else {
            guard hasTooLarge else { return nil }
            return
        }
        found.sort { $0.use < $1.use }
        var (entries, bytes) = (0, Int128(0))
        for (use, size) in found {
            entries += 1
            bytes += Int128(size)
            cutoff = use
            if entries >= excessEntries && bytes >= excessBytes { return }
        }
    }

    /// Whether a value has to go, as it is now.
    func includes(_ status: FileStatus) -> Bool {
        if status.size > mostBytes { return true }
        return cutoff.map { Self.use(status, now) <= $0 } ?? false
    }

    /// When a value was last used.
    ///
    /// A time in the future was set while a clock was ahead, and by no use since: that would have set it right.
    /// So it is longer ago than any other.
    private static func use(_ status: FileStatus, _ now: Int64) -> Use {
        let isFuture = clampedDifference(status.modified, now) > OpenStore.useResolution
        return Use(modified: isFuture ? .min : status.modified, inode: status.inode)
    }
}
