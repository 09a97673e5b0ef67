internal import SystemCalls

/// Something that is held now: a lock, a claim or a lease.
package struct Holding: Sendable {
    package enum Kind: Equatable, Sendable {
        case lock(LockKind)
        case claim
        /// With the number of its slot.
        case lease(slot: Int)
    }

    package let kind: Kind
    /// As much of the key as is known.
    package let key: Store.Key
    package let isKeyWhole: Bool
    /// nil where it is not known who.
    package let holder: Holder?
    /// How long until it ends by itself; nil where it does not.
    ///
    /// Of another machine's, the longest that it may be.
    package let timeLeft: Duration?
    /// The generation of a claim or lease; nil for locks, and where it is not known.
    package let generation: Store.Generation?
    /// How many wait for it; nil where nobody counts.
    ///
    /// Those who wait for a lock that shares its place on the
    /// board are counted too.
    package let waiters: Int?
}

extension Store {
    /// Everybody who holds a lock, a claim or a lease on the key.
    ///
    /// For messages: it may have changed when this returns. Of several who share a lock only the last to
    /// come is known, and of one who holds it by other means than this library nobody.
    ///
    /// - Returns: none where nobody holds it, or nobody knows who does.
    public func holders(of key: some KeyConvertible) throws(StoreError) -> [Holder] {
        try session.holdings(of: key.storeKey).compactMap { $0.holder }
    }
}

extension Session {
    /// All that is held now: locks, claims, leases; what cannot be looked at is passed over.
    package func holdings(_ pass: Pass) throws(StoreError) -> [Holding] {
        guard let store = try existingNow() else { return [] }
        var holdings = try store.heldLocks().map { Holding($0) }
        var claims = Store.Entries(self, .pending, prefix: nil, pass)
        while let claim = try claims.next() {
            let holding = try pass.record { () throws(StoreError) in
                try claimHolding(of: claim.key, in: store)
            }
            // Nil where it has ended meanwhile.
            if let holding = holding ?? nil { holdings.append(holding) }
        }
        for name in try store.leaseNames(pass) {
            let found = try pass.record { () throws(StoreError) in
                try store.leaseHoldings(of: name)
            }
            holdings += found ?? []
        }
        return holdings
    }

    /// What is held of one key.
    package func holdings(of key: Store.Key) throws(StoreError) -> [Holding] {
        guard let store = try existingNow() else { return [] }
        let name = try LockName(key)
        var holdings: [Holding] = []
        for lock in try store.heldLocks(of: name) { holdings.append(Holding(lock)) }
        if key.bytes.count <= Limits.key,
            let claim = try claimHolding(of: key, in: store)
        {
            holdings.append(claim)
        }
        if let entry = try? EntryName(key) { holdings += try store.leaseHoldings(of: entry) }
        return holdings
    }

    private func claimHolding(
        of key: Store.Key, in store: OpenStore
    ) throws(StoreError) -> Holding? {
        let entry = try EntryName(key)
        store.files.refresh(shard: entry.shard)
        guard let directory = try store.shardDirectory(entry.shard, making: false),
            case .whole(let claim) = try store.files.readPending(entry, in: directory)
        else { return nil }
        return Holding(
            kind: .claim, key: key, isKeyWhole: true,
            holder: store.holder(of: claim, standing: try store.standing(of: claim)),
            timeLeft: try store.timeLeft(of: claim).map { .microseconds($0) },
            generation: claim.generation, waiters: nil)
    }
}

extension OpenStore {
    /// The slots of a lease that are held.
    fileprivate func leaseHoldings(of name: EntryName) throws(StoreError) -> [Holding] {
        guard let file = try leaseFile(name, making: false, writing: false) else { return [] }
        var holdings: [Holding] = []
        for index in 0..<file.count {
            let holding: Holding? =
                switch try wholeSlot(index, of: file, name) {
                case .never: nil
                case .cell(let cell, _): try leaseHolding(of: name, index, cell)
                // Taken, until who asks for it next has it set aside.
                case .damaged: Holding(of: name, slot: index)
                }
            if let holding { holdings.append(holding) }
        }
        return holdings
    }

    /// nil where nobody has it.
    private func leaseHolding(
        of name: EntryName, _ index: Int, _ cell: LeaseCell
    ) throws(StoreError) -> Holding? {
        var left: Int64?
        switch try standing(of: cell) {
        case .free: return nil
        case .held(let time): left = time
        case .elsewhere:
            // Its deadline is by another machine's clock; this is how long it may have to be seen unchanged.
            left = try Sighting.timeLeft(of: cell, index, name, in: self) ?? cell.timeToLive
            if left == 0 { return nil }
        }
        return Holding(
            kind: .lease(slot: index), key: name.key, isKeyWhole: true, holder: holder(of: cell),
            timeLeft: left.map { .microseconds($0) }, generation: cell.generation, waiters: nil)
    }
}

extension Holding {
    fileprivate init(_ lock: LockListing) {
        self.init(
            kind: .lock(lock.kind), key: lock.key ?? lock.keyStart, isKeyWhole: lock.key != nil,
            holder: lock.holder, timeLeft: nil, generation: nil, waiters: lock.waiters)
    }

    /// A slot of a lease whose record does not tell who has it.
    fileprivate init(of name: EntryName, slot index: Int) {
        self.init(
            kind: .lease(slot: index), key: name.key, isKeyWhole: true, holder: nil, timeLeft: nil,
            generation: nil, waiters: nil)
    }
}
