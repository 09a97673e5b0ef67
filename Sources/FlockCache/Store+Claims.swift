internal import SystemCalls

extension Store {
    /// Wins the key, or returns its entry, or says who is at it; does not wait.
    ///
    /// Of all that ask at once, in any threads and processes, exactly one wins. A claim whose holder
    /// has died, or whose time is over, is taken over in this same call. Whether a rival or a killed
    /// process interferes at any point, the key is afterwards claimed by exactly one, or published.
    ///
    /// - Parameters:
    ///   - maxAge: a value published longer ago does not count: the key is won, and readers go on
    ///     seeing the old value until the new one is there.
    ///   - staleAfter: after this time the claim counts as stale although its holder lives. Without it,
    ///     never.
    /// - Throws: `.invalidKey`; what the system refuses; `.timedOut` when another process has been stopped
    ///   in the middle of a change for ten seconds. That the key is taken is no error; nor is a damaged value,
    ///   which counts as absent.
    public func claim(
        _ key: Key, maxAge: Duration? = nil, staleAfter: Duration? = nil
    ) throws(StoreError) -> ClaimResult {
        let outcome = try session.claim(
            key, for: .session, maxAge: maxAge, staleAfter: staleAfter)
        return try ClaimResult(outcome, of: key, in: session)
    }

    /// Returns the entry of a READY key, or nil: absent, claimed, older than `maxAge`, or damaged.
    ///
    /// Takes no lock. A key that is READY throughout the call is never reported absent, nor is anything
    /// but a whole value returned.
    ///
    /// - Throws: `.invalidKey`, and what the system refuses. A damaged value is no error: it is set aside
    ///   and reported through ``Configuration/onDamage``.
    public func entry(for key: Key, maxAge: Duration? = nil) throws(StoreError) -> Entry? {
        try session.entry(for: key, maxAge: maxAge)
    }

    /// Removes the entry, whether READY or, on request, PENDING.
    ///
    /// - Returns: false if there was none, or it is claimed and `evenPending` was not asked for: then
    ///   nothing has changed. A value that is being computed anew counts as claimed.
    /// - Throws: `.invalidKey`; what the system refuses; `.timedOut` as ``claim(_:maxAge:staleAfter:)``.
    @discardableResult
    public func remove(_ key: Key, evenPending: Bool = false) throws(StoreError) -> Bool {
        if case .removed = try session.remove(key, evenPending: evenPending) { true } else { false }
    }
}

/// What reading a key comes to.
package enum GetOutcome: Sendable {
    case absent
    case ready(ReadyFile)
    case pending(Holder)
    /// It was damaged, and has been set aside if that was possible.
    case damaged
}

extension Session {
    /// Reads a key, and sets a damaged record aside.
    package func get(_ key: Store.Key, maxAge: Duration?) throws(StoreError) -> GetOutcome {
        let name = try EntryName(key)
        guard var store = try existing() else { return .absent }
        while true {
            let found = try store.lookUp(name, key, maxAge: maxAge)
            switch found {
            case .ready(let ready):
                return ready.isOlder(than: maxAge) ? .absent : .ready(ready)
            case .readyAndPending(_, let claim), .pending(let claim):
                let standing = try store.standing(of: claim)
                return .pending(store.holder(of: claim, standing: standing))
            case .torn:
                return .pending(.unknown)
            case .damaged:
                if try setAside(name, key, in: store) { return .damaged }
            case .absent:
                if store.forgetIfRemoved(name.shard), !store.isRemoved { continue }
                guard store.isRemoved else { return .absent }
                // Removed under us, and perhaps made anew.
                forget(store)
                guard let fresh = try existing() else { return .absent }
                store = fresh
            }
        }
    }

    func entry(for key: Store.Key, maxAge: Duration?) throws(StoreError) -> Entry? {
        let outcome = try get(key, maxAge: maxAge)
        guard case .ready(let ready) = outcome else { return nil }
        return try ready.entry()
    }

    /// Sets a damaged record aside if that is possible; false when somebody else has changed the key
    /// since it was read, so that it has to be looked up again.
    private func setAside(
        _ name: EntryName, _ key: Store.Key, in store: OpenStore
    ) throws(StoreError) -> Bool {
        guard !store.isReadOnly, try store.shardFile().isWritable,
            let directory = try store.shardDirectory(name.shard, making: false)
        else {
            configuration.onDamage?(key, nil)
            return true
        }
        let setAside = { () throws(StoreError) -> String? in
            var held = try HeldShard(store, name.shard)
            return try self.setAsideIfDamaged(name, key, &held, in: directory)
        }
        guard let kept = try setAside() else { return false }
        configuration.onDamage?(key, kept)
        return true
    }
}
