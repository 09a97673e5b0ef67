internal import SystemCalls

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

extension StoreFiles {
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
            guard let name = EntryName(shard: shard, encoded: encoded) else { continue }
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
