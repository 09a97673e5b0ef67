internal import SystemCalls

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
        guard let file = try store.shards.fileForReading() else {
            return Store.Counts(damaged: damaged ?? 0, isExact: damaged != nil)
        }
        var sum = ShardCounts()
        var isExact = damaged != nil
        let blocks = try file.readAll()
        let doubtful = try store.shards.shardsInDoubt(now: blocks)
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
            _ = files.forgetIfRemoved(shard)
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
