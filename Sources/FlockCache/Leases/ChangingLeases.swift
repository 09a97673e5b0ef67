internal import SystemCalls

extension Session {
    /// Changes the slot that a generation has, under the mutex of its shard.
    ///
    /// Nothing that the block counts changes: it is marked only where there is something to tell.
    ///
    /// - Parameter wakes: whether those who wait for the lease are woken, as where it is given back.
    func changeLease<R>(
        _ key: Store.Key, _ generation: Store.Generation, _ patience: Duration, wakes: Bool = false,
        _ change: (inout LeaseCell) throws(StoreError) -> R
    ) throws(StoreError) -> R {
        let name = try EntryName(key)
        return try withStore(name.shard) { (store) throws(StoreError) in
            if store.changes == nil {
                var mutex = try ShardMutex(store, name.shard, patience: patience)
                guard (try? mutex.file.isLinked()) == true else { throw .replaced(store.path) }
                let changed = try changedCell(name, generation, wakes, in: store, change)
                if changed.isOther {
                    unsafe Store.beforeChange?()
                    try changed.write(durably: store.isDurable)
                    if wakes { mutex.ended = name }
                }
                return changed.result
            }
            // Here what a killed process has left to tell is told first.
            var held = try HeldShard(store, name.shard, patience: patience)
            let changed = try changedCell(name, generation, wakes, in: store, change)
            if changed.isOther {
                let events = changed.cell.events(after: changed.former)
                if events.isEmpty {
                    unsafe Store.beforeChange?()
                    try changed.write(durably: store.isDurable)
                } else {
                    try changed.write(events, of: name, wakes, &held, durably: store.isDurable)
                }
            }
            return changed.result
        }
    }

    private func changedCell<R>(
        _ name: EntryName, _ generation: Store.Generation, _ isRelease: Bool, in store: OpenStore,
        _ change: (inout LeaseCell) throws(StoreError) -> R
    ) throws(StoreError) -> ChangedCell<R> {
        guard let file = try store.leaseFile(name, making: false),
            let (index, former) = file.slot(of: generation)
        else {
            let current = try currentLease(of: name.key, in: store)
            throw .leaseLost(
                isRelease ? "release" : "renew", name.key, holder: current?.holder,
                asked: generation, found: current?.generation)
        }
        var cell = former
        let result = try change(&cell)
        return ChangedCell(file: file, index: index, former: former, cell: cell, result: result)
    }

    /// Marks the slots of a lease whose time is over, or whose owner has ended, and tells of it: in a store that
    /// tells of its changes.
    ///
    /// - Returns: in how many microseconds to look again; nil where none of its slots is granted any more.
    @discardableResult
    func expireLease(_ name: EntryName, patience: Duration) throws(StoreError) -> Int64? {
        guard let store = try existing(), store.changes != nil,
            // Most are not over, or are marked: that needs no mutex.
            let seen = try store.leaseFile(name, making: false, writing: false)
        else { return nil }
        let outlook = try store.ends(of: seen, name, noting: false)
        // A cell that is being written looks damaged.
        guard !outlook.over.isEmpty else { return seen.isDamaged ? 0 : outlook.left }
        var held = try HeldShard(store, name.shard, patience: patience)
        guard let file = try store.leaseFile(name, making: false) else { return nil }
        let ends = try store.ends(of: file, name, noting: true)
        for (index, former) in ends.over {
            var cell = former
            cell.isExpired = true
            try held.begin(
                changingNames: false,
                .lease(
                    name, slot: index, sequence: file.nextSequence(of: index),
                    cell.events(after: former)))
            try file.write(cell, in: index, durably: store.isDurable)
            held.commit(ending: name)
        }
        return ends.left
    }
}

/// Which slots of a lease are over.
private struct LeaseEnds {
    /// They were granted, and are not marked.
    var over: [(index: Int, cell: LeaseCell)] = []
    /// In how many microseconds another may be; nil for none.
    var left: Int64?

    mutating func add(_ microseconds: Int64) {
        left = min(left ?? .max, max(0, microseconds))
    }
}

extension OpenStore {
    /// How often to ask whether the process lives with which a lease ends, in microseconds.
    private static let betweenAsking: Int64 = 1_000_000

    fileprivate func ends(
        of file: borrowing LeaseFile, _ name: EntryName, noting: Bool
    ) throws(StoreError) -> LeaseEnds {
        var ends = LeaseEnds()
        for index in file.slots.indices {
            guard let cell = file.slot(index).cell, !cell.hasEnded else { continue }
            switch try standing(of: cell) {
            case .free: ends.over.append((index, cell))
            case .held(let left):
                let asking = cell.owner == nil ? Int64.max : Self.betweenAsking
                ends.add(min(left ?? .max, asking))
            case .looksOver:
                let left = try Sighting.timeLeft(of: cell, index, name, in: self, noting: noting)
                // The first look under the mutex is noted, and adds up.
                if left == 0 || !noting {
                    ends.over.append((index, cell))
                } else {
                    ends.add(left ?? Self.betweenAsking)
                }
            }
        }
        return ends
    }
}

/// A slot's cell as it is, and as it is to be.
private struct ChangedCell<R>: ~Copyable {
    let file: LeaseFile
    let index: Int
    let former: LeaseCell
    let cell: LeaseCell
    let result: R

    var isOther: Bool { cell != former }

    func write(durably: Bool) throws(StoreError) {
        try file.write(cell, in: index, durably: durably)
    }

    func write(
        _ events: [ToldEvent], of name: EntryName, _ wakes: Bool, _ held: inout HeldShard,
        durably: Bool
    ) throws(StoreError) {
        try held.begin(
            changingNames: false,
            .lease(name, slot: index, sequence: file.nextSequence(of: index), events))
        try write(durably: durably)
        held.commit(ending: wakes ? name : nil)
    }
}

extension LeaseCell {
    /// Whether it was given back, or its end was told.
    var hasEnded: Bool { isReleased || isExpired }

    /// What this cell in the place of another one tells.
    func events(after former: LeaseCell?) -> [ToldEvent] {
        let ended = former.flatMap { $0.hasEnded ? nil : $0 }
        if former?.generation != generation {
            // Nobody has marked the end of the one before.
            let end = ended.map { ToldEvent(event: .expired, generation: $0.generation) }
            return [end, ToldEvent(event: .leased, generation: generation)].compactMap { $0 }
        }
        if hasEnded {
            guard ended != nil else { return [] }
            return [ToldEvent(event: isReleased ? .released : .expired, generation: generation)]
        }
        // A renewal is told only where the end was.
        return ended == nil ? [ToldEvent(event: .leased, generation: generation)] : []
    }
}
