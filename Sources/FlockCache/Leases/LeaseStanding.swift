internal import SystemCalls

/// How a slot of a lease stands.
enum LeaseStanding {
    case free
    /// For so many microseconds more; nil where only its owner's end ends it.
    case held(left: Int64?)
    /// Of another machine, as far as can be told, whose clocks may differ: only a sighting tells when it is over
    /// (`Sighting`).
    case elsewhere
}

extension OpenStore {
    /// Judges whether a slot may be granted.
    ///
    /// In doubt it is held: a wrong "free" has two in charge, a wrong "held" only waits.
    func standing(of cell: LeaseCell) throws(StoreError) -> LeaseStanding {
        if cell.hasEnded { return .free }
        guard cell.place.boot == (try place()).boot else {
            // On a network it may be another machine's.
            return isLocal ? .free : .elsewhere
        }
        let left = cell.deadline.map { $0.timeLeft(ofThisBoot: true) }
        if let left, left <= 0 { return .free }
        return try liveness(ofOwnerOf: cell) == .dead ? .free : .held(left: left)
    }

    /// Whether the process lives with which a slot ends.
    ///
    /// Process numbers mean something in one boot and PID namespace only.
    func liveness(ofOwnerOf cell: LeaseCell) throws(StoreError) -> Holder.Liveness {
        guard let owner = cell.owner else { return .unknown }
        let here = try place()
        guard cell.place.boot == here.boot else { return isLocal ? .dead : .unknown }
        guard cell.place.processNamespace == here.processNamespace else { return .unknown }
        let isAlive = try attempt("ask for pid \(owner.id)", nil) { () throws(Errno) in
            try owner.isAlive(sameTimeNamespace: cell.place.timeNamespace == here.timeNamespace)
        }
        return isAlive ? .alive : .dead
    }

    /// Whether a slot may be granted, under the mutex of its shard.
    func isFree(_ cell: LeaseCell, _ slot: Int, _ name: EntryName) throws(StoreError) -> Bool {
        switch try standing(of: cell) {
        case .free: true
        case .held: false
        case .elsewhere: try Sighting.note(of: cell, slot, name, in: self) == 0
        }
    }

    /// Who has a slot, for messages.
    func holder(of cell: LeaseCell) -> Holder {
        let isOfThisBoot = (try? place())?.boot == cell.place.boot
        let age = max(0, clampedDifference(0, cell.since.timeLeft(ofThisBoot: isOfThisBoot)))
        return Holder(
            processID: cell.processID == 0 ? nil : cell.processID,
            command: text(ofCommand: cell.command),
            host: cell.host.flatMap { text(ofCommand: $0) },
            // Another machine's clock tells it, and may say anything.
            age: isLocal || isOfThisBoot ? .microseconds(age) : nil,
            liveness: liveness(ofHolderOf: cell), session: nil)
    }

    /// Whether the process lives that is named in messages.
    ///
    /// Where the lease does not end with it there is only its number, which another process may have by now.
    private func liveness(ofHolderOf cell: LeaseCell) -> Holder.Liveness {
        if cell.owner != nil {
            // What cannot be asked is not known.
            return (try? liveness(ofOwnerOf: cell)) ?? .unknown
        }
        guard cell.processID != 0, let here = (try? placeIfKnown()) ?? nil,
            cell.place.boot == here.boot,
            cell.place.processNamespace == here.processNamespace
        else { return .unknown }
        guard Process.exists(cell.processID) else { return .dead }
        guard cell.place.timeNamespace == here.timeNamespace, cell.since.stamp.boot != 0,
            let status = ProcessStatus(of: cell.processID), let offset = TimeNamespace.offset
        else { return .unknown }
        // In ticks of a hundredth of a second.
        let started = Int64(clamping: status.startTime).multipliedReportingOverflow(by: 10_000)
        let isLater =
            started.overflow
            || started.partialValue > clampedSum(cell.since.stamp.boot, offset + 20_000)
        return isLater ? .dead : .alive
    }
}

extension OpenStore {
    /// A lease's slot as it is while nobody writes it.
    ///
    /// Without the mutex a cell that is being written looks damaged.
    func wholeSlot(
        _ index: Int, of file: LeaseFile, _ name: EntryName
    ) throws(StoreError) -> LeaseSlot {
        let slot = try file.slot(index)
        guard slot.isDamaged else { return slot }
        let mutex = try ShardMutex(self, name.shard, patience: Limits.patience)
        defer { withExtendedLifetime(mutex.shard) {} }
        guard let again = try leaseFile(name, making: false, writing: false) else { return .never }
        return try again.slot(index)
    }

    /// The slot of a lease that a generation has, as it is while nobody writes it; nil where none has it.
    func wholeSlot(
        of generation: Store.Generation, _ name: EntryName, patience: Duration = Limits.patience
    ) throws(StoreError) -> (index: Int, cell: LeaseCell)? {
        guard let file = try leaseFile(name, making: false, writing: false) else { return nil }
        let found = try file.slot(of: generation)
        guard found == nil, file.hasSeenDamage else { return found }
        let mutex = try ShardMutex(self, name.shard, patience: patience)
        defer { withExtendedLifetime(mutex.shard) {} }
        return try leaseFile(name, making: false, writing: false)?.slot(of: generation)
    }

    /// In how many microseconds a lease may be free, and whether it may be now; nil where only a change
    /// tells.
    func leaseOutlook(
        _ name: EntryName, slots: Int
    ) throws(StoreError) -> (isFree: Bool, left: Int64?) {
        guard let file = try leaseFile(name, making: false, writing: false) else {
            return (true, nil)
        }
        var least: Int64?
        for index in 0..<slots {
            if let left = file.timeTaken(index) {
                least = min(least ?? left, left)
                continue
            }
            // What is damaged is looked at under the mutex.
            guard let cell = try file.slot(index).cell else { return (true, nil) }
            var left: Int64?
            switch try standing(of: cell) {
            case .free: return (true, nil)
            case .held(let time): left = time
            case .elsewhere:
                if cell.timeToLive == nil { break }
                // Each who waits notes what it sees, so that the time counts from its first look.
                left = Sighting.noteIfPossible(of: cell, index, name, in: self)
                if left == 0 { return (true, nil) }
            }
            if let left { least = min(least ?? left, left) }
        }
        return (false, least)
    }
}
