internal import SystemCalls

extension Session {
    /// Begins the time of a claim again after which it is stale although its holder lives.
    ///
    /// Also when that time is over, as long as nobody has taken the claim over.
    ///
    /// Promises that the claim of that generation is stale later, or nothing is changed. The new record is written to
    /// a private file and renamed over `NAME.pending`, as by a take-over, and not written into it: those who look at
    /// a key take no lock, and would read a part of it. What could break it: a take-over at the same moment (the
    /// shard's mutex, and the generation compared under it: one of the two comes first), a finalize (the same), a
    /// kill (the old record or the new one; the private file is swept), a full disk (the old record stays), another
    /// boot or time namespace (a deadline means something by one clock only: see `ClaimRenewal`).
    ///
    /// - Returns: how long that is; nil where no time ends the claim, and there is nothing to do.
    /// - Throws: `.claimLost` when the claim is another's, gone or finalized, and where its holder is proven to have
    ///   ended: the next to ask takes it over, whatever its time. `.unknownOutcome` when the directory of a durable
    ///   store could not be put on the device.
    @discardableResult
    package func renew(
        _ key: Store.Key, _ generation: Store.Generation, patience: Duration = Limits.patience
    ) throws(StoreError) -> Duration? {
        let name = try EntryName(key)
        // Not `withStore`, which would make a store anew that was removed.
        let renewed = try withExistingStore(name.shard) { (store) throws(StoreError) -> Duration? in
            guard try store.shardDirectory(name.shard, making: false) != nil else {
                throw .claimLost("renew", key, asked: generation, now: .absent)
            }
            return try ClaimRenewal(store: store, name: name, generation: generation)
                .make(patience)
        }
        guard let renewed else {
            throw .claimLost("renew", key, asked: generation, now: .absent)
        }
        return renewed
    }
}

/// The part of renewing that changes the store.
private struct ClaimRenewal {
    let store: OpenStore
    let name: EntryName
    let generation: Store.Generation
    private var key: Store.Key { name.key }

    init(store: OpenStore, name: EntryName, generation: Store.Generation) {
        self.store = store
        self.name = name
        self.generation = generation
    }

    func make(_ patience: Duration) throws(StoreError) -> Duration? {
        // Before the mutex: it makes a file of sessions.
        let temporary = try store.temporaryName()
        var held = try HeldShard(store, name.shard, patience: patience)
        let directory = try held.directory()
        let claim = try ownClaim(in: directory)
        guard let time = claim.renewedFor else { return nil }
        let text = try renewed(claim, for: time).text
        try held.begin(Intent())
        do throws(Errno) {
            do throws(Errno) {
                let file = try store.marker.create(temporary, in: directory)
                try file.write(text)
                if store.isDurable { try file.sync() }
                try directory.rename(temporary, to: name.pending)
            } catch {
                try directory.unlink(temporary)
                held.takeBack()
                throw error
            }
        } catch {
            throw StoreError(error, "renew the claim of", path: store.path, key: key)
        }
        held.commit()
        try store.syncAfter("renew the claim of", key, in: directory)
        return .microseconds(time)
    }

    /// The claim, if it is there with the generation and its holder may live.
    private func ownClaim(in directory: Directory) throws(StoreError) -> ClaimSection {
        let ready = try store.files.readyGeneration(name, in: directory)
        guard case .whole(let claim) = try store.files.readPending(name, in: directory),
            claim.stands(beside: ready)
        else { throw lost(ready.map { .ready($0) } ?? .absent) }
        let standing = try store.standing(of: claim)
        let holder = store.holder(of: claim, standing: standing)
        guard claim.generation == generation else { throw lost(.claimed(claim.generation, holder)) }
        if case .stale = try store.standingOfHolder(of: claim, from: try store.placeIfKnown()) {
            throw .claimOfDead("renew", key, holder)
        }
        return claim
    }

    /// The claim with a later deadline.
    ///
    /// A deadline is by the boot clock of the claim's place, and so is the process of its holder: a claim that a
    /// process of another boot or time namespace has made can be renewed there alone. One that is nobody's becomes one
    /// of this place.
    private func renewed(_ claim: ClaimSection, for time: Int64) throws(StoreError) -> ClaimSection
    {
        var renewed = claim
        let (here, now) = (try store.place(), Stamp.now)
        if claim.place.boot != here.boot || claim.place.timeNamespace != here.timeNamespace {
            guard claim.holder == .nobody else { throw .claimOfAnotherPlace("renew", key) }
            renewed.place = here
            renewed.since = now
        }
        renewed.staleAfter = time
        renewed.deadline = now.advanced(by: .microseconds(time))
        return renewed
    }

    private func lost(_ now: StoreError.ClaimNow) -> StoreError {
        .claimLost("renew", key, asked: generation, now: now)
    }
}
