// Leases: exclusion until a time, fenced by a generation.
//
//   free (never granted, released, expired, its owner exited) → granted → renewed … → free
//   damaged → taken by nobody, for one time to live → free
//
// A slot has two cells, written in turn and in place under the shard's mutex: a write that ends half-way leaves the
// other one. Each grant has a higher generation than every earlier one. What could break it: a holder that is
// stopped or suspended beyond its time (it is told within a second of resuming, before it tries to renew; only the
// generation protects what it does meanwhile), clocks that are set (the boot clock counts), another machine's clock
// (`Sighting`), another boot or PID namespace (a renewal is judged as a grant is, and carries its own place), a store
// that was removed (renewing and releasing make none), records that are removed once they are over (`LeaseReaping`).

internal import SystemCalls

extension Session {
    /// Grants a lease if one of its slots is free.
    ///
    /// Promises that of all who ask one gets a slot, until its time is over or it is released, with a
    /// generation higher than every earlier one of the key. What could break it: two that ask at once (the
    /// shard's mutex), a kill between the two writes (the block's mark makes the next count anew, the cell is
    /// there or not), a clock that is set (the boot clock counts), a full disk (a new file is an error, an old
    /// one needs no room), a record that is damaged (its slot counts as taken for a time to live).
    ///
    /// Slots are looked at from the lowest to the first that is free, and no further; of many only those of which it
    /// is not known that they are taken (`TakenSlots`).
    ///
    /// - Throws: `.inputOutput` with the path where the record is kept, when there is no free slot and one was
    ///   damaged: once, because the next to ask finds it taken.
    func tryLease(
        _ name: EntryName, _ request: LeaseRequest, patience: Duration
    ) throws(StoreError) -> LeaseOutcome {
        var damage: LeaseDamage?
        // When the mutex is free: whoever hears of it may well use the store.
        defer { if let damage { configuration.onDamage?(name.key, damage.keptAt) } }
        return try withStore(name.shard) { (store) throws(StoreError) in
            var held = try HeldShard(store, name.shard, patience: patience)
            guard let file = try store.leaseFile(name, making: true) else {
                throw .replaced(store.path)
            }
            var search = SlotSearch()
            let found = try store.freeSlot(for: request, of: file, name, &held, &search)
            guard let index = found else {
                if let damage = search.damage { throw damage.error }
                if search.first == nil { search.first = try file.slot(0).cell }
                return .busy(search.first.map { store.holder(of: $0) })
            }
            let generation = try held.leaseGeneration(
                above: search.highest, in: request.slots > 1 ? index : nil)
            let grant = try store.grant(request, name, generation, index, of: file, &held)
            Sighting.forget(name, index, in: store)
            // Where none is granted the error tells.
            damage = search.damage
            return .granted(grant)
        }
    }

    /// Begins the time to live of a granted lease anew; returns how long that is, nil where only its owner's
    /// end ends it.
    ///
    /// Also when it is over, as long as nobody else has got the slot. It is judged as a grant is: one whose owner
    /// has ended, or may have on another machine, is not renewed; any other is from then on of the place of who
    /// renews it, so that everybody judges it alike.
    ///
    /// - Parameter onlyHeld: whether one that is over is lost instead: for who keeps a lease, and would otherwise
    ///   not learn that what it protects ran unprotected.
    /// - Throws: `.leaseLost` when somebody else has it, or it was released or removed. `.unknownOutcome` when it
    ///   could not be put on the device of a durable store.
    @discardableResult
    package func renewLease(
        _ key: Store.Key, _ generation: Store.Generation, onlyHeld: Bool = false,
        patience: Duration = Limits.patience
    ) throws(StoreError) -> Duration? {
        let change = { (cell: inout LeaseCell, store: OpenStore) throws(StoreError) -> Duration? in
            try store.renew(&cell, onlyHeld: onlyHeld, key)
        }
        guard let renewed = try changeLease(key, generation, "renew", patience, change) else {
            throw .leaseLost("renew", key, holder: nil)
        }
        return renewed
    }

    /// Gives a lease back; twice is fine, until somebody else has it.
    ///
    /// - Throws: `.leaseLost` when somebody else has it. `.unknownOutcome` when it could not be put on the device of
    ///   a durable store.
    package func releaseLease(
        _ key: Store.Key, _ generation: Store.Generation
    ) throws(StoreError) {
        let name = try EntryName(key)
        noteEnd(ofLease: name)
        // Where there is no record nobody has it.
        _ = try changeLease(key, generation, "release", Limits.patience) {
            (cell, _) throws(StoreError) in
            // Of one that has expired the end was told.
            if !cell.isExpired { cell.isReleased = true }
        }
        wakeWhoWaits(forLease: name)
    }

    /// Whether a generation is the current one of a lease, and its time not over.
    ///
    /// Takes no mutex, unless what it reads is being written.
    package func checkLease(
        _ key: Store.Key, _ generation: Store.Generation
    ) throws(StoreError) -> Bool {
        let name = try EntryName(key)
        guard let store = try existingNow(),
            let (index, cell) = try store.wholeSlot(of: generation, name)
        else { return false }
        switch try store.standing(of: cell) {
        case .free: return false
        case .held: return true
        // No other process is granted it before it has been seen unchanged for as long as it lasts.
        case .elsewhere: return Sighting.noteIfPossible(of: cell, index, name, in: store) != 0
        }
    }
}

extension Session {
    /// Whether nobody has ended a lease of this session by force.
    ///
    /// For who keeps it, which waits for nobody: where the store is not there now, or somebody is in the middle of a
    /// change, a renewal says what has become of it.
    package func isLeaseHeld(
        _ key: Store.Key, _ generation: Store.Generation
    ) throws(StoreError) -> Bool {
        let name = try EntryName(key)
        guard let store = try existing(), !store.isRemoved, !store.files.isElsewhere else {
            return true
        }
        return try store.wholeSlot(of: generation, name, patience: .zero) != nil
    }
}

/// What was met on the way to a free slot.
fileprivate struct SlotSearch {
    /// The first that is taken.
    var first: LeaseCell?
    var highest: Store.Generation = 0
    /// A slot that was damaged.
    var damage: LeaseDamage?
}

extension OpenStore {
    /// The lowest slot that may be granted; nil where all are taken.
    ///
    /// Notes of those that are taken until when they are, so that the next to ask need not look at them.
    fileprivate func freeSlot(
        for request: LeaseRequest, of file: LeaseFile, _ name: EntryName, _ held: inout HeldShard,
        _ search: inout SlotSearch
    ) throws(StoreError) -> Int? {
        defer { file.saveTaken() }
        for index in 0..<request.slots where file.timeTaken(index) == nil {
            if try file.slot(index).isDamaged {
                search.damage = try setAside(index, of: file, name, request, &held)
            }
            guard let cell = try file.slot(index).cell else { return index }
            search.highest = max(search.highest, cell.generation)
            if try isFree(cell, index, name) { return index }
            search.first = search.first ?? cell
            file.learn(index, cell)
        }
        return nil
    }

    /// Writes a grant.
    ///
    /// One that cannot be put on the device of a durable store is taken back: nobody learns of it.
    fileprivate func grant(
        _ request: LeaseRequest, _ name: EntryName, _ generation: Store.Generation, _ index: Int,
        of file: LeaseFile, _ held: inout HeldShard
    ) throws(StoreError) -> LeaseGrant {
        // Read before the time that others go by: the holder never takes it to last longer.
        let deadline = request.timeToLive.map { BootTime.now.advanced(by: $0) }
        var cell = LeaseCell(generation: generation, request, at: try place(), since: LeaseTime.now)
        cell.host = isLocal ? nil : HostName.encoded
        let events = cell.events(after: try file.slot(index).cell)
        let sequence = try file.nextSequence(of: index)
        try held.begin(
            generation: generation, .lease(name, slot: index, sequence: sequence, events))
        do throws(StoreError) {
            try file.write(cell, in: index, durably: isDurable)
        } catch {
            guard error.code == .unknownOutcome else { throw error }
            cell.isReleased = true
            // Where this fails it stays unknown. After a power cut it is free in either case: of an earlier boot.
            guard (try? file.write(cell, in: index, durably: false)) != nil else { throw error }
            held.commit(telling: events.filter { $0.event != .leased })
            throw .undoneLease(error)
        }
        file.learn(index, cell)
        file.saveTaken()
        held.commit()
        return LeaseGrant(
            generation: generation, slot: index,
            deadline: deadline ?? BootTime(nanoseconds: .max))
    }

    /// Makes a slot's time begin anew, at this process's place and by its clock.
    fileprivate func renew(
        _ cell: inout LeaseCell, onlyHeld: Bool, _ key: Store.Key
    ) throws(StoreError) -> Duration? {
        let here = try place()
        let isOfThisBoot = cell.place.boot == here.boot
        let isOver = cell.deadline.map { $0.timeLeft(ofThisBoot: isOfThisBoot) <= 0 } ?? false
        if cell.isReleased { throw .leaseLost("renew", key, released: true) }
        if onlyHeld, isOver || cell.isExpired || !isOfThisBoot {
            throw .leaseLost("renew", key, released: false)
        }
        if cell.owner == nil {
            cell.move(to: here)
            if !isOfThisBoot { cell.host = isLocal ? nil : HostName.encoded }
        } else {
            // One that ended with its owner nobody has, and no time can prolong. Of another machine's owner it cannot
            // be known, and its number means nothing here.
            let liveness = try liveness(ofOwnerOf: cell)
            guard isOfThisBoot, liveness != .dead else {
                throw .leaseLost("renew", key, owner: liveness)
            }
        }
        cell.isExpired = false
        guard let timeToLive = cell.timeToLive else { return nil }
        cell.deadline = LeaseTime.now.advanced(by: .microseconds(timeToLive))
        return .microseconds(timeToLive)
    }

    /// Why a generation has no slot.
    func lostLease(
        _ operation: String, _ name: EntryName, _ generation: Store.Generation, _ file: LeaseFile
    ) throws(StoreError) -> StoreError {
        let likely = LeaseSlot.index(of: generation)
        for index in [likely] + Array(0..<min(file.count, TakenSlots.fewest)) {
            guard let cell = try file.slot(index).cell else { continue }
            if case .free = try standing(of: cell) { continue }
            return .leaseLost(
                operation, name.key, holder: holder(of: cell), asked: generation,
                found: cell.generation)
        }
        return .leaseLost(operation, name.key, holder: nil)
    }
}

extension LeaseCell {
    /// Makes it one of another place, whose clock counts from now on.
    fileprivate mutating func move(to here: Place) {
        if place.boot != here.boot {
            // In the boot clock of the other it would mean nothing.
            since = .now
        }
        // So would the number of a process.
        if place.boot != here.boot || place.processNamespace != here.processNamespace {
            processID = 0
        }
        place = here
    }
}

extension HeldShard {
    /// A generation for a lease; of one with slots it says by itself which slot it is.
    fileprivate func leaseGeneration(
        above found: Store.Generation, in slot: Int?
    ) throws(StoreError) -> Store.Generation {
        let next = try nextGeneration(above: found)
        guard let slot else { return next }
        let chosen = LeaseSlot.generation(notBelow: next, in: slot)
        guard chosen <= Limits.generation else { throw .noGenerationLeft(files.path) }
        return chosen
    }
}
