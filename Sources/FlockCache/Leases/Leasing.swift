internal import SystemCalls

/// What is asked for.
package struct LeaseRequest: Sendable {
    /// nil: until its owner ends.
    var timeToLive: Duration?
    /// The process with which it ends.
    var owner: ProcessIdentity?
    /// How many may have the lease at once.
    var slots: Int
    /// For messages.
    var processID: Int32
    var command: [UInt8]

    package init(
        timeToLive: Duration?, owner: ProcessIdentity? = nil, slots: Int = 1, processID: Int32,
        command: [UInt8]
    ) {
        self.timeToLive = timeToLive
        self.owner = owner
        self.slots = slots
        self.processID = processID
        self.command = command
    }

    /// Throws where it makes no sense.
    func check() throws(StoreError) {
        guard 1...Limits.slots ~= slots else { throw .badSlots(slots) }
    }

    /// Who is named in messages.
    package mutating func setHolder(_ process: Int32, _ command: [UInt8]) {
        processID = process
        self.command = command
    }
}

/// What was granted.
package struct LeaseGrant: Sendable {
    package let generation: Store.Generation
    package let slot: Int
    /// By this process's clock; the end of time for one that ends with its owner.
    let deadline: BootTime

    /// How long it lasts if it is not renewed; nil where only its owner's end ends it.
    package var timeLeft: Duration? { LeaseGrant.timeLeft(until: deadline) }

    static func timeLeft(until deadline: BootTime) -> Duration? {
        deadline.nanoseconds == .max
            ? nil : .nanoseconds(max(0, deadline.nanoseconds - BootTime.now.nanoseconds))
    }
}

/// What asking for a lease comes to.
package enum LeaseOutcome: Sendable {
    case granted(LeaseGrant)
    /// Somebody else has it, or all its slots.
    case busy(Holder?)
}

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
        if cell.isReleased { return .free }
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
                try held.begin(generation: generation)
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
            cell.isReleased = true
        }
    }

    /// Changes the slot that a generation has, under the mutex of its shard.
    ///
    /// The block is not marked: nothing that it counts changes.
    private func changeLease<R>(
        _ key: Store.Key, _ generation: Store.Generation, _ patience: Duration, wakes: Bool = false,
        _ change: (inout LeaseCell) throws(StoreError) -> R
    ) throws(StoreError) -> R {
        let name = try EntryName(key)
        return try withStore(name.shard) { (store) throws(StoreError) in
            var mutex = try ShardMutex(store, name.shard, patience: patience)
            guard (try? mutex.file.isLinked()) == true else { throw .replaced(store.path) }
            guard let file = try store.leaseFile(name, making: false),
                let (index, cell) = file.slot(of: generation)
            else {
                let current = try currentLease(of: key, in: store)
                throw .leaseLost(
                    wakes ? "release" : "renew", key, holder: current?.holder, asked: generation,
                    found: current?.generation)
            }
            var changed = cell
            let result = try change(&changed)
            if changed != cell {
                Store.beforeChange?()
                try file.write(changed, in: index, durably: store.isDurable)
                if wakes { mutex.ended = name }
            }
            return result
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

    private func currentLease(
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

extension LeaseCell {
    /// What is granted by a request.
    init(
        generation: Store.Generation, _ request: LeaseRequest, at place: Place, since: LeaseTime
    ) {
        self.generation = generation
        owner = request.owner
        processID = request.processID
        command = Self.encode(command: request.command)
        self.place = place
        self.since = since
        timeToLive = request.timeToLive.map { max(1, $0.clampedMicroseconds) }
        deadline = request.timeToLive.map { since.advanced(by: $0) }
    }
}
