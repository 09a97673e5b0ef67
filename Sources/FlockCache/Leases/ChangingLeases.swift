internal import SystemCalls

// Changes of granted leases, and telling of them in a store that tells of its changes.
//
// A renewal is no event, unless the end of the lease was told. Time ends leases without anybody's doing, so that their
// end is made a change: the cell is written again as `expired`, by whoever finds it over first.

extension Session {
    /// Changes the slot that a generation has, under the mutex of its shard; nil where there is no record of the
    /// lease, or no store.
    ///
    /// Nothing that the block counts changes: it is marked only where there is something to tell.
    func changeLease<R>(
        _ key: Store.Key, _ generation: Store.Generation, _ operation: String, _ patience: Duration,
        _ change: (inout LeaseCell, OpenStore) throws(StoreError) -> R
    ) throws(StoreError) -> R? {
        let name = try EntryName(key)
        // Not `withStore`, which would make a store anew that was removed.
        return try withExistingStore(name.shard) { (store) throws(StoreError) -> R? in
            let edit = LeaseEdit(store: store, name: name, generation, operation)
            if store.changes == nil {
                let mutex = try ShardMutex(store, name.shard, patience: patience)
                guard try mutex.file.isLinked() else { throw .replaced(store.path) }
                guard let edited = try edit.make(change) else { return nil }
                if edited.isOther { try edited.write() }
                return edited.result
            }
            // Here what a killed process has left to tell is told first.
            var held = try HeldShard(store, name.shard, patience: patience)
            guard let edited = try edit.make(change) else { return nil }
            if edited.isOther { try edited.write(telling: &held) }
            return edited.result
        } ?? nil
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
        guard !outlook.over.isEmpty else { return seen.hasSeenDamage ? 0 : outlook.left }
        var held = try HeldShard(store, name.shard, patience: patience)
        guard let file = try store.leaseFile(name, making: false) else { return nil }
        return try store.expire(file, name, &held)
    }
}

/// A change of the slot that a generation has.
private struct LeaseEdit {
    let store: OpenStore
    let name: EntryName
    private let generation: Store.Generation
    private let operation: String

    init(
        store: OpenStore, name: EntryName, _ generation: Store.Generation, _ operation: String
    ) {
        self.store = store
        self.name = name
        self.generation = generation
        self.operation = operation
    }

    /// Makes it in memory; nil where there is no record of the lease.
    func make<R>(
        _ change: (inout LeaseCell, OpenStore) throws(StoreError) -> R
    ) throws(StoreError) -> EditedCell<R>? {
        guard let file = try store.leaseFile(name, making: false) else { return nil }
        guard let (index, former) = try file.slot(of: generation) else {
            throw try store.lostLease(operation, name, generation, file)
        }
        var cell = former
        let result = try change(&cell, store)
        return EditedCell(
            store: store, name: name, file: file, index: index, former: former, cell: cell,
            result: result)
    }
}

/// A slot's cell as it was, and as it is to be.
private struct EditedCell<R> {
    let store: OpenStore
    let name: EntryName
    let file: LeaseFile
    let index: Int
    let former: LeaseCell
    let cell: LeaseCell
    let result: R

    var isOther: Bool { cell != former }

    func write() throws(StoreError) {
        unsafe Store.beforeChange?()
        try file.write(cell, in: index, durably: store.isDurable)
    }

    func write(telling held: inout HeldShard) throws(StoreError) {
        let events = cell.events(after: former)
        guard !events.isEmpty else { return try write() }
        let sequence = try file.nextSequence(of: index)
        try held.begin(
            changingNames: false, .lease(name, slot: index, sequence: sequence, events))
        try write()
        held.commit()
    }
}

// MARK: Ends

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
    /// Marks the slots that are over, and tells of them; returns when another may be, as `expireLease` does.
    func expire(
        _ file: LeaseFile, _ name: EntryName, _ held: inout HeldShard
    ) throws(StoreError) -> Int64? {
        let ends = try ends(of: file, name, noting: true)
        file.saveTaken()
        for (index, former) in ends.over {
            var cell = former
            cell.isExpired = true
            let sequence = try file.nextSequence(of: index)
            try held.begin(
                changingNames: false,
                .lease(name, slot: index, sequence: sequence, cell.events(after: former)))
            try file.write(cell, in: index, durably: isDurable)
            held.commit()
        }
        return ends.left
    }

    /// How often to ask whether the process lives with which a lease ends, in microseconds.
    private static let betweenAsking: Int64 = 1_000_000

    fileprivate func ends(
        of file: LeaseFile, _ name: EntryName, noting: Bool
    ) throws(StoreError) -> LeaseEnds {
        var ends = LeaseEnds()
        for index in 0..<file.count {
            if let left = file.timeTaken(index) {
                ends.add(left)
                continue
            }
            guard let cell = try file.slot(index).cell, !cell.hasEnded else { continue }
            switch try standing(of: cell) {
            case .free: ends.over.append((index, cell))
            case .held(let left):
                if noting { file.learn(index, cell) }
                let asking = cell.owner == nil ? Int64.max : Self.betweenAsking
                ends.add(min(left ?? .max, asking))
            case .elsewhere:
                // Of another machine, and without a time: nobody here can tell.
                if cell.timeToLive == nil { continue }
                let left =
                    noting
                    ? try Sighting.note(of: cell, index, name, in: self)
                    : try Sighting.timeLeft(of: cell, index, name, in: self)
                // The first look under the mutex is noted, and adds up.
                if left == 0 || left == nil && !noting {
                    ends.over.append((index, cell))
                } else {
                    ends.add(left ?? Self.betweenAsking)
                }
            }
        }
        return ends
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
