// Leases: exclusion until a time, fenced by a generation.
//
//   free (never granted, released, expired, its owner exited) → granted → renewed … → free
//
// A slot has two cells, written in turn and in place under the shard's mutex: a write that ends half-way leaves the
// other one. Each grant has a higher generation than every earlier one. What could break it: a holder that is
// stopped or suspended beyond its time (it is told within a second of resuming; only the generation protects what
// it does meanwhile), clocks that are set (the boot clock counts), another machine's clock (`Sighting`).

internal import SystemCalls

extension Session {
    /// Grants a lease if one of its slots is free.
    ///
    /// Promises that of all who ask one gets a slot, until its time is over or it is released, with a
    /// generation higher than every earlier one of the key. What could break it: two that ask at once (the
    /// shard's mutex), a kill between the two writes (the block's mark makes the next count anew, the cell is
    /// there or not), a clock that is set (the boot clock counts), a full disk (a new file is an error, an old
    /// one needs no room).
    func tryLease(
        _ name: EntryName, _ request: LeaseRequest, patience: Duration
    ) throws(StoreError) -> LeaseOutcome {
        try withStore(name.shard) { (store) throws(StoreError) in
            var held = try HeldShard(store, name.shard, patience: patience)
            guard let file = try store.leaseFile(name, making: true) else {
                throw .replaced(store.path)
            }
            var first: LeaseCell?
            for index in 0..<request.slots {
                switch file.slot(index) {
                case .damaged: throw .damagedLease(store.leasePath(name))
                case .never: break
                case .cell(let cell, _):
                    guard try !store.isFree(cell, index, name) else { break }
                    first = first ?? cell
                    continue
                }
                let generation = try held.nextGeneration(above: file.highest)
                // Read before the time that others go by: the holder never takes it to last longer.
                let deadline = request.timeToLive.map { BootTime.now.advanced(by: $0) }
                let cell = LeaseCell(
                    generation: generation, request, at: try store.place(), since: LeaseTime.now)
                try held.begin(
                    generation: generation,
                    .lease(
                        name, slot: index, sequence: file.nextSequence(of: index),
                        cell.events(after: file.slot(index).cell)))
                try file.write(cell, in: index, durably: store.isDurable)
                held.commit()
                Sighting.forget(name, index, in: store)
                return .granted(
                    LeaseGrant(
                        generation: generation, slot: index,
                        deadline: deadline ?? BootTime(nanoseconds: .max)))
            }
            return .busy(first.map { store.holder(of: $0) })
        }
    }

    /// Begins the time to live of a granted lease anew; returns how long that is, nil where only its owner's
    /// end ends it.
    ///
    /// Also when it is over, as long as nobody else has got the slot.
    ///
    /// - Throws: `.leaseLost` when somebody else has it, or it was released.
    @discardableResult
    package func renewLease(
        _ key: Store.Key, _ generation: Store.Generation, patience: Duration = Limits.patience
    ) throws(StoreError) -> Duration? {
        guard try existing() != nil else { throw .leaseLost("renew", key, holder: nil) }
        return try changeLease(key, generation, patience) { (cell) throws(StoreError) in
            // One that ended with its owner nobody has, and no time can prolong.
            let isOver = try existing()?.isOwnerAlive(of: cell) == false
            if cell.isReleased || isOver { throw .leaseLost("renew", key, holder: nil) }
            cell.isExpired = false
            guard let timeToLive = cell.timeToLive else { return nil }
            cell.deadline = LeaseTime.now.advanced(by: .microseconds(timeToLive))
            return .microseconds(timeToLive)
        }
    }

    /// Gives a lease back; twice is fine, until somebody else has it.
    ///
    /// - Throws: `.leaseLost` when somebody else has it.
    package func releaseLease(
        _ key: Store.Key, _ generation: Store.Generation
    ) throws(StoreError) {
        guard try existing() != nil else { return }
        try changeLease(key, generation, Limits.patience, wakes: true) { (cell) in
            // Of one that has expired the end was told.
            if !cell.isExpired { cell.isReleased = true }
        }
    }

    /// Whether a generation is the current one of a lease, and its time not over.
    ///
    /// Takes no mutex, unless what it reads is being written.
    package func checkLease(
        _ key: Store.Key, _ generation: Store.Generation
    ) throws(StoreError) -> Bool {
        let name = try EntryName(key)
        guard let store = try existingNow(), let file = try store.wholeLeaseFile(name),
            let (_, cell) = file.slot(of: generation)
        else { return false }
        if case .held = try store.standing(of: cell) { return true }
        return false
    }

    func currentLease(
        of key: Store.Key, in store: OpenStore
    ) throws(StoreError) -> (generation: Store.Generation, holder: Holder)? {
        guard let file = try store.leaseFile(try EntryName(key), making: false, writing: false)
        else { return nil }
        for slot in file.slots {
            if let cell = slot.cell, case .held = try store.standing(of: cell) {
                return (cell.generation, store.holder(of: cell))
            }
        }
        return nil
    }
}
