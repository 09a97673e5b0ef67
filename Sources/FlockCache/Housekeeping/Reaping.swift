// Housekeeping: passes over the whole store. Each entry is judged again under its shard's mutex before it is
// removed, so passes are safe beside everything else, with themselves, and when killed. One record that cannot be
// read or removed is named and passed over, and the pass fails at its end (`Pass`).

internal import SystemCalls

/// What reaping is asked to do, and whom it tells.
package struct ReapRequest {
    var limits: Store.ReapLimits
    var dryRun: Bool
    /// Called for each entry after it was removed.
    var report: (Store.Reaped) -> Void

    package init(
        _ limits: Store.ReapLimits, dryRun: Bool, report: @escaping (Store.Reaped) -> Void
    ) {
        self.limits = limits
        self.dryRun = dryRun
        self.report = report
    }
}

extension Session {
    /// Removes what is stale, and then what is beyond the limits.
    ///
    /// Safe with itself and with everything else at once, and when killed: each entry is judged again
    /// under the mutex before it is removed, and the mutex is held for one entry at a time. Shards that
    /// have nothing pending and nothing being written are not looked at; those whose directories were changed
    /// beside this program are counted anew. What cannot be looked at or removed is passed over.
    ///
    /// - Throws: what ends the pass; its end tells what was passed over.
    func reap(_ request: ReapRequest, _ pass: Pass) throws(StoreError) {
        guard let store = try existingNow() else { return }
        if let file = try store.shards.fileForReading() {
            let blocks = try file.readAll()
            let doubtful = try store.shards.doubtfulShards(blocks)
            for (shard, block) in blocks.enumerated() {
                if let counts = block?.counts, !doubtful[shard],
                    counts.pending == 0 && counts.temporaries == 0
                {
                    continue
                }
                _ = try pass.part { () throws(StoreError) in
                    try reapShard(shard, of: store, request, pass)
                }
            }
            try evict(from: store, request, pass)
        }
        if !request.dryRun {
            try sweepMarkers(of: store, pass)
            try sweepJournals(of: store, pass)
        }
        if let maxAge = request.limits.maxAge {
            _ = try pass.part { () throws(StoreError) in
                try removeDamaged(olderThan: maxAge, from: store, request, pass)
            }
        }
    }

    /// Removes segments of journals that killed processes were making.
    private func sweepJournals(of store: OpenStore, _ pass: Pass) throws(StoreError) {
        for name in try store.journals.names(ofUsersOnly: false) {
            _ = try pass.record { () throws(StoreError) in
                try store.journals.journal(name).sweep()
            }
        }
    }

    /// Removes what killed processes left under private names: markers, and empty files and directories.
    ///
    /// Making one takes microseconds; an hour is for makers that were stopped.
    private func sweepMarkers(of store: OpenStore, _ pass: Pass) throws(StoreError) {
        var leftovers: [FileName] = []
        try attempt("reap", store.path) { () throws(Errno) in
            try unsafe store.root.forEachName { name in
                if unsafe name.starts(with: Layout.markerPrefix) {
                    unsafe leftovers.append(FileName(name))
                }
                return true
            }
        }
        for name in leftovers {
            _ = try pass.record { () throws(StoreError) in
                try attempt("reap", store.file(name, in: nil)) { () throws(Errno) in
                    guard let status = try store.root.status(of: name),
                        try isNamedTwice(status, in: store.root)
                            || clampedDifference(WallClock.nanoseconds, status.modified)
                                > 3_600_000_000_000
                    else { return }
                    if status.isRegular { try store.root.unlink(name) }
                    // What is in it was not put there by this program.
                    if status.isDirectory, Layout.isPrivate(name.bytes) {
                        try store.root.removeDirectory(name)
                    }
                }
            }
        }
    }

    /// Whether a file has its own name already, and its maker was killed before it removed the private one: its times
    /// are renewed on use, so it would never look old.
    private func isNamedTwice(_ file: FileStatus, in root: Directory) throws(Errno) -> Bool {
        guard file.isRegular, file.links > 1 else { return false }
        for name in [Layout.marker, Layout.board] {
            let named = try root.status(of: name)
            if named?.device == file.device && named?.inode == file.inode { return true }
        }
        return false
    }

    private func reapShard(
        _ shard: Int, of store: OpenStore, _ request: ReapRequest, _ pass: Pass
    ) throws(StoreError) {
        guard let directory = try store.files.shardDirectoryNow(shard) else { return }
        let names = try unfinished(shard, of: store, pass, in: directory)
        for (encoded, files) in names.entries where files.hasPending {
            guard let name = EntryName(shard: shard, encoded: encoded) else { continue }
            let reason = try pass.record { () throws(StoreError) in
                try reapClaim(name, of: store, request, in: directory)
            }
            if let reason = reason ?? nil {
                request.report(Store.Reaped(key: name.key, reason: reason))
            }
        }
        guard !request.dryRun else { return }
        for temporary in names.temporaries {
            _ = try pass.record { () throws(StoreError) in
                try sweep(temporary, of: store, shard, in: directory)
            }
        }
    }

    /// The names of a shard's claims and temporaries.
    ///
    /// The block says how many there are, so reading ends with the last of them. What a killed finalize left
    /// beside a value is not counted, nor what somebody put there: where there may be such, all names are
    /// read.
    private func unfinished(
        _ shard: Int, of store: OpenStore, _ pass: Pass, in directory: Directory
    ) throws(StoreError) -> ShardNames {
        let held = try HeldShard(store, shard, verifying: true)
        try pass.note(held.counted, in: shard, of: store)
        let counts = held.block.counts
        let names = try held.names(
            in: directory,
            .unfinished(pending: counts.pending, temporaries: counts.temporaries))
        let areClaims = try attempt("reap", store.path) { () throws(Errno) in
            for encoded in names.entries.keys {
                guard let name = EntryName(shard: shard, encoded: encoded) else { continue }
                if try directory.status(of: name.ready) != nil { return false }
                if try directory.status(of: name.pending)?.isRegular != true { return false }
            }
            return true
        }
        return areClaims ? names : try held.names(in: directory, .allUnfinished)
    }

    /// Removes a claim that is stale; returns why, or nil when it stands or was no claim.
    private func reapClaim(
        _ name: EntryName, of store: OpenStore, _ request: ReapRequest, in directory: Directory
    ) throws(StoreError) -> Store.Reaped.Reason? {
        var held = try HeldShard(store, name.shard)
        let ready = try store.files.readyGeneration(name, in: directory)
        let reason: Store.Reaped.Reason?
        let isClaim: Bool
        var generation: Store.Generation = 0
        switch try store.files.readPending(name, in: directory) {
        case .none: return nil
        case .torn:
            isClaim = ready == nil
            reason = .torn
        case .whole(let claim):
            generation = claim.generation
            isClaim = claim.stands(beside: ready)
            reason = try staleness(of: claim, in: store, request.limits)
            if isClaim && reason == nil { return nil }
        }
        if !request.dryRun {
            try held.begin(.endClaim(.reaped, name, isClaim ? generation : nil))
            try attempt("reap", store.file(name.pending, in: name.shard)) { () throws(Errno) in
                do throws(Errno) {
                    try directory.unlink(name.pending)
                } catch {
                    // Refused, and nothing was done: nothing is to be counted anew.
                    if error == .notPermitted { held.takeBack() }
                    throw error
                }
            }
            if isClaim { held.block.counts.pending -= 1 }
            held.commit(ending: name)
        }
        // What a killed finalize left beside a value is no entry: it goes without a word.
        return isClaim ? reason : nil
    }

    private func staleness(
        of claim: ClaimSection, in store: OpenStore, _ limits: Store.ReapLimits
    ) throws(StoreError) -> Store.Reaped.Reason? {
        switch try store.standing(of: claim) {
        case .stale(let reason): return reason
        case .live(.unknown):
            guard let limit = limits.assumeDeadAfter else { return nil }
            let age = store.age(of: claim, from: try store.place())
            return age > limit.clampedMicroseconds ? .assumedDead : nil
        case .live: return nil
        }
    }

    /// Removes a record that a dead session was writing.
    private func sweep(
        _ temporary: FileName, of store: OpenStore, _ shard: Int, in directory: Directory
    ) throws(StoreError) {
        let session = Layout.temporarySession(of: temporary.bytes) ?? 0
        let locks = try store.locksDirectory()
        var held = try HeldShard(store, shard)
        let path = store.file(temporary, in: shard)
        let isAlive = try attempt("reap", path) { () throws(Errno) in
            try SessionLock.isAlive(session, in: locks)
        }
        guard !isAlive else { return }
        try held.begin(Intent())
        try attempt("reap", path) { () throws(Errno) in
            do throws(Errno) {
                if try directory.unlink(temporary) { held.block.counts.temporaries -= 1 }
            } catch {
                if error == .notPermitted { held.takeBack() }
                throw error
            }
        }
        held.commit()
    }
}
