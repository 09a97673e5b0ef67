internal import SystemCalls

// Housekeeping of leases. What nobody has is judged again under the shard's mutex before its record is removed, and the
// highest generation is noted before that (`LeaseFloor`), so that generations rise although the record has gone.

extension Session {
    /// Removes the records of leases that nobody has, and ends leases of owners of whom it cannot be told whether
    /// they live, where that was asked for.
    ///
    /// A released lease goes at once; one that is over an hour later, because until another process has got it it may
    /// still be renewed. Safe with everything else at once, and when killed.
    ///
    /// - Parameter report: called for each lease that was ended.
    func reapLeases(
        _ limits: Store.ReapLimits, dryRun: Bool, _ pass: Pass, report: (Store.Reaped) -> Void
    ) throws(StoreError) {
        guard let store = try existingNow() else { return }
        for name in try store.leaseNames(pass) {
            if !dryRun && store.changes != nil {
                _ = try pass.record { () throws(StoreError) in
                    try expireLease(name, patience: Limits.patience)
                }
            }
            let ended = try pass.record { () throws(StoreError) in
                try store.reapLease(name, limits, dryRun: dryRun)
            }
            if let ended, ended > 0, !dryRun { wakeWhoWaits(forLease: name) }
            for _ in 0..<(ended ?? 0) {
                report(Store.Reaped(key: name.key, reason: .assumedDead))
            }
        }
        guard !dryRun, !store.isLocal else { return }
        for shard in 0..<Layout.shardCount {
            _ = try pass.part { () throws(StoreError) in try store.sweepSightings(of: shard) }
        }
    }
}

extension OpenStore {
    /// Returns how many slots were ended.
    fileprivate func reapLease(
        _ name: EntryName, _ limits: Store.ReapLimits, dryRun: Bool
    ) throws(StoreError) -> Int {
        guard let seen = try leaseFile(name, making: false, writing: false) else { return 0 }
        var work = try leaseWork(seen, limits)
        guard !dryRun else { return work.unknown.count }
        guard !work.unknown.isEmpty || work.isRemovable else { return 0 }
        var held = try HeldShard(self, name.shard)
        guard let file = try leaseFile(name, making: false) else { return 0 }
        work = try leaseWork(file, limits)
        for index in work.unknown {
            try end(index, of: file, &held, name, telling: .expired)
        }
        // One may have ended since its end was told of last.
        if work.isRemovable && changes != nil { _ = try expire(file, name, &held) }
        if work.isRemovable { try remove(name, highest: work.highest, &held) }
        return work.unknown.count
    }

    private struct LeaseWork {
        /// Slots that are to be taken for ended.
        var unknown: [Int] = []
        var isRemovable = true
        var highest: Store.Generation = 0
    }

    private func leaseWork(
        _ file: LeaseFile, _ limits: Store.ReapLimits
    ) throws(StoreError) -> LeaseWork {
        var work = LeaseWork()
        for index in 0..<file.count {
            switch try file.slot(index) {
            case .never: break
            case .damaged: work.isRemovable = false
            case .cell(let cell, _):
                work.highest = max(work.highest, cell.generation)
                if try isLongOver(cell) { continue }
                work.isRemovable = false
                if let age = limits.assumeDeadAfter, try isUnknown(cell, olderThan: age) {
                    work.unknown.append(index)
                }
            }
        }
        return work
    }

    /// How long a lease that was not released may still be renewed for sure, in microseconds.
    private static var lateRenewal: Int64 { 3_600_000_000 }

    private func isLongOver(_ cell: LeaseCell) throws(StoreError) -> Bool {
        if cell.isReleased { return true }
        guard case .free = try standing(of: cell) else { return false }
        // It ended with its owner.
        guard let deadline = cell.deadline else { return true }
        let isOfThisBoot = cell.place.boot == (try place()).boot
        return deadline.timeLeft(ofThisBoot: isOfThisBoot) < -Self.lateRenewal
    }

    /// Whether a lease that only its owner's end ends is older than that, and its owner cannot be judged.
    private func isUnknown(
        _ cell: LeaseCell, olderThan limit: Duration
    ) throws(StoreError) -> Bool {
        guard cell.timeToLive == nil, try liveness(ofOwnerOf: cell) == .unknown else {
            return false
        }
        let isOfThisBoot = cell.place.boot == (try place()).boot
        let age = clampedDifference(0, cell.since.timeLeft(ofThisBoot: isOfThisBoot))
        return age > limit.clampedMicroseconds
    }

    /// Removes the record of a lease that nobody has.
    private func remove(
        _ name: EntryName, highest: Store.Generation, _ held: inout HeldShard
    ) throws(StoreError) {
        guard let directory = try leaseDirectory(name.shard, making: false) else { return }
        do throws(StoreError) {
            // The block's covers all others of the shard as well: most often nothing has to be noted for them any more.
            try files.raiseLeaseFloor(
                to: max(highest, held.block.highest), of: name.shard, in: directory)
        } catch {
            // On a full disk the record stays: it is in nobody's way.
            if error.code == .noSpace { return }
            throw error
        }
        try attempt("reap", leasePath(name)) { () throws(Errno) in
            unsafe Store.beforeChange?()
            // First: it says nothing of a record that is not there.
            try directory.unlink(Layout.takenTimes(of: name))
            try directory.unlink(name.ready)
        }
    }

    /// Removes old sightings: of machines that have restarted since, and of leases that have gone.
    ///
    /// Without the mutex: one that is still needed is made again, and its time then begins again.
    fileprivate func sweepSightings(of shard: Int) throws(StoreError) {
        guard let directory = try leaseDirectory(shard, making: false) else { return }
        try attempt("reap", leaseDirectoryPath(shard)) { () throws(Errno) in
            var old: [FileName] = []
            try unsafe directory.forEachName { name in
                if unsafe Sighting.isSighting(name) { unsafe old.append(FileName(name)) }
                return true
            }
            for name in old {
                guard let status = try directory.status(of: name), status.isRegular,
                    clampedDifference(WallClock.nanoseconds, status.modified)
                        > Sighting.longestUse
                else { continue }
                try directory.unlink(name)
            }
        }
    }
}

// MARK: Ending by force

/// A slot of a lease that was ended by force, and whose it was.
package struct EndedLease: Sendable {
    package let slot: Int
    /// nil where its record did not tell.
    package let holder: Holder?
    package let generation: Store.Generation?
}

/// What ending a lease by force comes to.
package enum ForcedRelease: Sendable {
    /// nil where nobody had it.
    case ended(EndedLease?)
    /// Several slots are taken, and none was named.
    case several([Int])
}

extension Session {
    /// Ends a lease, whoever has it.
    ///
    /// The slot is released under a generation of its own: so its holder is told that it lost the lease, at its next
    /// renewal, check or release, and does not take it for its own release.
    ///
    /// - Parameter slot: nil for the only one that is taken.
    package func endLease(_ key: Store.Key, slot: Int?) throws(StoreError) -> ForcedRelease {
        let name = try EntryName(key)
        noteEnd(ofLease: name)
        let ended = try withExistingStore(name.shard) {
            (store) throws(StoreError) -> ForcedRelease in
            guard try store.leaseDirectory(name.shard, making: false) != nil else {
                return .ended(nil)
            }
            var held = try HeldShard(store, name.shard)
            guard let file = try store.leaseFile(name, making: false) else { return .ended(nil) }
            var taken: [Int] = []
            for index in slot.map({ $0..<($0 + 1) }) ?? 0..<file.count
            where try store.isTaken(index, of: file) { taken.append(index) }
            guard taken.count <= 1 else { return .several(taken) }
            guard let index = taken.first else { return .ended(nil) }
            let cell = try file.slot(index).cell
            try store.end(index, of: file, &held, name, telling: .released)
            return .ended(
                EndedLease(
                    slot: index, holder: cell.map { store.holder(of: $0) },
                    generation: cell?.generation))
        }
        if case .ended(.some) = ended { wakeWhoWaits(forLease: name) }
        return ended ?? .ended(nil)
    }
}

extension OpenStore {
    fileprivate func isTaken(_ index: Int, of file: LeaseFile) throws(StoreError) -> Bool {
        if file.timeTaken(index) != nil { return true }
        switch try file.slot(index) {
        case .never: return false
        case .damaged: return true
        case .cell(let cell, _):
            if case .free = try standing(of: cell) { return false }
            return true
        }
    }

    /// Ends a slot under a generation of its own.
    fileprivate func end(
        _ index: Int, of file: LeaseFile, _ held: inout HeldShard, _ name: EntryName,
        telling event: ChangeEvent
    ) throws(StoreError) {
        let former = try file.slot(index).cell
        let generation = try held.nextGeneration(above: former?.generation ?? 0)
        var cell = LeaseCell(
            generation: generation, LeaseRequest(timeToLive: nil, processID: 0, command: []),
            at: try place(), since: .now)
        cell.isReleased = true
        let sequence = try file.nextSequence(of: index)
        // Of a damaged one it is not known which it was.
        let events =
            former?.hasEnded == true
            ? [] : [ToldEvent(event: event, generation: former?.generation ?? 0)]
        try held.begin(
            generation: generation, .lease(name, slot: index, sequence: sequence, events))
        try file.write(cell, in: index, durably: isDurable)
        held.commit()
    }
}
