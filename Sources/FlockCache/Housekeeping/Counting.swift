internal import SystemCalls

extension Store {
    /// How many entries there are.
    public struct Counts: Hashable, Sendable {
        /// Claims, torn and stale ones included.
        public let pending: Int
        /// Values.
        public let ready: Int
        /// The sizes of the READY records' files, heads included; the greatest number where the sum is beyond it.
        public let bytes: Int
        /// Damaged records that were set aside and are kept for inspection; they are no entries.
        public let damaged: Int
        /// False when a shard was being changed for longer than a tenth of a second; then its counts
        /// before that change stand in.
        ///
        /// Also where a part of the store could not be looked at, which ``Store/Configuration/onPassedOver``
        /// is told; and where the sizes are beyond the greatest number.
        public let isExact: Bool
    }
}

/// What counting a shard comes to.
struct ShardCount {
    var counts = ShardCounts()
    /// What stands in the place of records and is none; not counted.
    var planted: [FileName] = []
    /// Why something of it may be counted wrong.
    var failure: StoreError?

    /// Whether the counts can be kept up from now on.
    ///
    /// Not where something is planted: what becomes of that no change can tell.
    var isSound: Bool { failure == nil && planted.isEmpty && counts.isSumKnown }
}

extension OpenStore {
    /// Counts a shard from its names and `stat`, reading only records of keys that have both files.
    ///
    /// The caller has the shard's mutex.
    ///
    /// What a killed finalize left beside a value is removed on the way, where the store can be
    /// written: it is counted nowhere, so that no reaper would look for it. A record that cannot be read does
    /// not keep the others from being counted, nor anybody from their keys: it counts as what its name says.
    func count(_ shard: Int, removingDebris: Bool) throws(StoreError) -> ShardCount {
        var count = ShardCount()
        guard let directory = try shardDirectory(shard, making: false) else { return count }
        let names = try names(in: directory, of: shard)
        count.planted = names.planted
        count.counts.temporaries = names.temporaries.count
        for (encoded, files) in names.entries {
            let name = EntryName(shard: shard, encoded: encoded)
            do throws(StoreError) {
                if files.hasReady { try countReady(name, &count, in: directory) }
            } catch {
                guard error.canBePassedOver else { throw error }
                count.failure = count.failure ?? error
            }
            do throws(StoreError) {
                guard files.hasPending else { continue }
                if try !removeIfDebris(name, removingDebris, in: directory) {
                    count.counts.pending += 1
                }
            } catch {
                guard error.canBePassedOver else { throw error }
                count.failure = count.failure ?? error
                count.counts.pending += 1
            }
        }
        return count
    }

    private func countReady(
        _ name: EntryName, _ count: inout ShardCount, in directory: Directory
    ) throws(StoreError) {
        count.counts.ready += 1
        let status = try attempt("read", file(name.ready, in: name.shard)) { () throws(Errno) in
            try directory.status(of: name.ready)
        }
        if let status, status.isRegular {
            count.counts.add(bytes: status.size)
        } else {
            // Of a file system that does not say so with the name.
            count.counts.ready -= 1
            count.planted.append(name.ready)
        }
    }

    /// Whether a claim is what a killed finalize left; then it is removed, if it may.
    private func removeIfDebris(
        _ name: EntryName, _ removing: Bool, in directory: Directory
    ) throws(StoreError) -> Bool {
        guard let ready = try readyGeneration(name, in: directory),
            try standingClaim(name, besideReady: ready, in: directory) == nil
        else { return false }
        // Where it cannot be removed it stays harmless.
        if removing { _ = try? directory.unlink(name.pending) }
        return true
    }
}

extension Session {
    /// The sum of the shards' counts, and whether each was exact.
    ///
    /// One read of the blocks, and a look at each shard's directory, not more often than each hundredth of a
    /// second. A shard whose block is dirty, of another
    /// boot or being written, or whose directory was changed beside this program, is looked at under its mutex,
    /// all of them for a tenth of a second together; beyond that its last known counts are used.
    package func counts(_ pass: Pass) throws(StoreError) -> Store.Counts {
        guard let store = try existingNow() else { return Store.Counts() }
        let damaged = try pass.part { () throws(StoreError) in try store.damagedRecords().count }
        guard let file = try store.shardFileForReading() else {
            return Store.Counts(damaged: damaged ?? 0, isExact: damaged != nil)
        }
        var sum = ShardCounts()
        var isExact = damaged != nil
        let blocks = try file.readAll()
        let doubtful = try store.shardsInDoubt(now: blocks)
        let deadline = BootTime.now.advanced(by: .milliseconds(100))
        for (shard, block) in blocks.enumerated() {
            if let block, !doubtful[shard] {
                sum.add(block.counts)
                continue
            }
            let left = clampedDifference(deadline.nanoseconds, BootTime.now.nanoseconds)
            let counted = try store.countsForSure(shard, .nanoseconds(max(0, left)), pass)
            isExact = isExact && counted?.isExact == true
            if let counts = counted?.counts ?? block?.counts { sum.add(counts) }
        }
        return Store.Counts(
            pending: sum.pending, ready: sum.ready, bytes: sum.bytes, damaged: damaged ?? 0,
            isExact: isExact && sum.bytes < Int.max)
    }
}

extension OpenStore {
    /// The counts of a shard, counted anew where need be; nil where its mutex is not to be had or it cannot be
    /// looked at.
    fileprivate func countsForSure(
        _ shard: Int, _ patience: Duration, _ pass: Pass
    ) throws(StoreError) -> (counts: ShardCounts, isExact: Bool)? {
        do throws(StoreError) {
            _ = forgetIfRemoved(shard)
            let held = try HeldShard(self, shard, patience: patience, verifying: true)
            try pass.note(held.counted, in: shard, of: self)
            return (held.block.counts, held.counted?.failure == nil)
        } catch {
            // No failure: somebody is in the middle of a change.
            if error.code != .timedOut { try pass.passOver(error) }
            return nil
        }
    }
}

extension Pass {
    /// Names what counting a shard has found.
    func note(_ counted: ShardCount?, in shard: Int, of store: OpenStore) throws(StoreError) {
        guard let counted else { return }
        for name in counted.planted { notice(.planted(store.file(name, in: shard))) }
        if let failure = counted.failure { try passOver(failure) }
    }
}

extension Store.Counts {
    init(damaged: Int = 0, isExact: Bool = true) {
        self.init(pending: 0, ready: 0, bytes: 0, damaged: damaged, isExact: isExact)
    }
}
