internal import SystemCalls

/// How a slot of a lease stands.
enum LeaseStanding {
    case free
    /// For so many microseconds more; nil where only its owner's end ends it.
    case held(left: Int64?)
    /// Over by the wall clock, but of another machine: see `Sighting`.
    case looksOver
}

extension OpenStore {
    /// Judges whether a slot may be granted.
    ///
    /// In doubt it is held: a wrong "free" has two in charge, a wrong "held" only waits.
    func standing(of cell: LeaseCell) throws(StoreError) -> LeaseStanding {
        if cell.isReleased || cell.isExpired { return .free }
        let here = try place()
        let isOfThisBoot = cell.place.boot == here.boot
        // On a network it may be another machine's.
        if !isOfThisBoot && isLocal { return .free }
        var left: Int64?
        if let deadline = cell.deadline {
            let rest = deadline.timeLeft(ofThisBoot: isOfThisBoot)
            if rest <= 0 { return isOfThisBoot ? .free : .looksOver }
            left = rest
        }
        return try isOwnerAlive(of: cell) ? .held(left: left) : .free
    }

    /// Whether the process lives with which a slot ends; true in doubt, and where it ends with none.
    func isOwnerAlive(of cell: LeaseCell) throws(StoreError) -> Bool {
        let here = try place()
        guard let owner = cell.owner, cell.place.boot == here.boot,
            cell.place.processNamespace == here.processNamespace
        else { return true }
        return try attempt("ask for pid \(owner.id)", nil) { () throws(Errno) in
            try owner.isAlive(sameTimeNamespace: cell.place.timeNamespace == here.timeNamespace)
        }
    }

    /// Whether a slot may be granted, under the mutex of its shard.
    func isFree(_ cell: LeaseCell, _ slot: Int, _ name: EntryName) throws(StoreError) -> Bool {
        switch try standing(of: cell) {
        case .free: true
        case .held: false
        case .looksOver:
            try Sighting.timeLeft(of: cell, slot, name, in: self, noting: true) == 0
        }
    }

    /// Who has a slot, for messages.
    func holder(of cell: LeaseCell) -> Holder {
        let isOfThisBoot = (try? place())?.boot == cell.place.boot
        return Holder(
            processID: cell.processID == 0 ? nil : cell.processID,
            command: text(ofCommand: cell.command),
            since: .microseconds(
                max(0, clampedDifference(0, cell.since.timeLeft(ofThisBoot: isOfThisBoot)))),
            liveness: .alive, session: nil)
    }
}

extension OpenStore {
    /// A lease's file as it is while nobody writes it; nil when there is none.
    func wholeLeaseFile(_ name: EntryName) throws(StoreError) -> LeaseFile? {
        guard let file = try leaseFile(name, making: false, writing: false) else { return nil }
        guard file.isDamaged else { return file }
        // A cell that is being written looks damaged.
        let mutex = try ShardMutex(self, name.shard, patience: Limits.patience)
        defer { withExtendedLifetime(mutex.shard) {} }
        return try leaseFile(name, making: false, writing: false)
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
            guard let cell = file.slot(index).cell else { return (true, nil) }
            switch try standing(of: cell) {
            case .free: return (true, nil)
            case .held(let left?): least = min(least ?? left, left)
            case .held(nil): break
            case .looksOver:
                let left = try Sighting.timeLeft(of: cell, index, name, in: self, noting: false)
                guard let left else { break }
                if left == 0 { return (true, nil) }
                least = min(least ?? left, left)
            }
        }
        return (false, least)
    }
}
