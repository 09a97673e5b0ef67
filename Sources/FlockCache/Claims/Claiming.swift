// Claims: absent → PENDING → READY, and back.
//
//   claim      absent → PENDING; stale PENDING → PENDING of another; READY that is too old → READY and PENDING
//   finalize   PENDING of this generation → READY, in one rename
//   renew      PENDING of this generation → the same, stale later
//   abandon    PENDING of this generation → as before the claim
//   remove     READY → absent (and PENDING, on request)
//
// Each is one change under the shard's mutex, judged by the generation under it. What could break them is said at
// each: kills, rivals, take-overs, full disks.

internal import SystemCalls

/// For whom a claim is made.
package enum ClaimOwner: Sendable {
    /// This process, which lives for the whole work.
    case session
    /// A process that carries on after this one.
    case process(ProcessIdentity, command: [UInt8])
    /// Nobody; `staleAfter` alone ends it.
    case nobody
}

/// What claiming comes to.
package enum ClaimOutcome: Sendable {
    /// Won; of a stale claim that was taken over, who had it.
    case won(Store.Generation, takenOverFrom: Holder?)
    case ready(ReadyFile)
    case pending(Holder)
}

extension Session {
    /// Claims a key, or finds its value, or who is at it.
    ///
    /// Promises one winner. What could break it, and what prevents that:
    /// - a rival in the same step: the change is made under the shard's mutex, after looking again;
    /// - a kill at any call: before the create nothing happened; after it the record is torn or whole,
    ///   its holder is dead, and the next claim takes over; the mark in the block makes it recounted;
    /// - a take-over that is seen half-way: the new record is renamed over the old, never absent;
    /// - a full disk: the record is removed again, or the old one stays.
    ///
    /// Losing takes no mutex: a claim that was read whole, and whose holder was then seen alive, stood
    /// at that moment.
    package func claim(
        _ key: Store.Key, for owner: ClaimOwner, maxAge: Duration?, staleAfter: Duration?,
        patience: Duration = Limits.patience
    ) throws(StoreError) -> ClaimOutcome {
        let name = try EntryName(key)
        return try withStore(name.shard) { (store) throws(StoreError) in
            var isCertain = false
            while true {
                // Before the looks: what happens behind it shows in the block under the mutex.
                let block = store.shards.seenBlock(name.shard)
                let found = try store.lookUp(
                    name, maxAge: maxAge, looksAgain: false,
                    looksForClaim: isCertain || block?.counts.pending != 0)
                isCertain = true
                var seen: Store.Generation?
                var isDamaged = false
                var hasClaim = false
                switch found {
                case .ready(let ready):
                    guard ready.isOlder(than: maxAge) else { return .ready(ready) }
                    seen = ready.generation
                case .readyAndPending(let ready, let claim):
                    if let holder = try store.liveHolder(of: claim) { return .pending(holder) }
                    seen = ready.generation
                    hasClaim = true
                case .pending(let claim):
                    if let holder = try store.liveHolder(of: claim) { return .pending(holder) }
                    hasClaim = true
                case .torn: hasClaim = true
                case .damaged: isDamaged = true
                case .absent: break
                }
                let change = ClaimChange(
                    store: store, session: self, name: name, owner: owner,
                    staleAfter: staleAfter, seenReady: seen, seenDamaged: isDamaged,
                    seenClaim: hasClaim, seenBlock: block, patience: patience)
                var kept: String?
                defer { if let kept { configuration.onDamage?(key, kept) } }
                if let outcome = try change.make(setAside: &kept) { return outcome }
            }
        }
    }
}

extension OpenStore {
    /// The holder of a claim that stands; nil when it is stale.
    func liveHolder(of claim: ClaimSection) throws(StoreError) -> Holder? {
        let standing = try standing(of: claim)
        guard case .live = standing else { return nil }
        return holder(of: claim, standing: standing)
    }
}

/// The part of claiming that changes the store.
private struct ClaimChange {
    let store: OpenStore
    let session: Session
    let name: EntryName
    var key: Store.Key { name.key }
    let owner: ClaimOwner
    let staleAfter: Duration?
    /// The READY record that was found too old.
    let seenReady: Store.Generation?
    let seenDamaged: Bool
    /// Whether a claim was there, stale or torn.
    let seenClaim: Bool
    /// The shard's block before that was seen.
    let seenBlock: ShardBlock?
    /// How long to wait for somebody else's change.
    let patience: Duration

    /// Makes the claim; nil when the key is no longer what it was, and has to be looked up again.
    ///
    /// `kept` becomes the path at which a damaged value is kept.
    func make(setAside kept: inout String?) throws(StoreError) -> ClaimOutcome? {
        var held = try HeldShard(store, name.shard, patience: patience)
        let directory = try held.directory()
        if seenDamaged { kept = try session.setAsideIfDamaged(name, &held, in: directory) }
        // Where there was no value, and the block is what it was before that was seen, there is none.
        let isStillAbsent =
            seenReady == nil && !seenDamaged && held.isUnchanged(since: seenBlock)
        let ready = isStillAbsent ? nil : try store.files.readyGeneration(name, in: directory)
        guard ready == seenReady else { return nil }

        // Creating says by itself whether there is a claim; what was seen needs no trying.
        if !seenClaim, let won = try create(&held, ready: ready, in: directory) { return won }
        switch try store.files.readPending(name, in: directory) {
        // Gone since it was seen; or somebody writes without our mutex, as where a lock server lies.
        case .none: return nil
        case .torn:
            return try takeOver(&held, ready: ready, nil, wasCounted: ready == nil, in: directory)
        case .whole(let claim):
            guard claim.stands(beside: ready) else {
                return try takeOver(&held, ready: ready, nil, wasCounted: false, in: directory)
            }
            let standing = try store.standing(of: claim)
            let holder = store.holder(of: claim, standing: standing)
            if case .live = standing { return .pending(holder) }
            defer { store.forgetSighting(of: claim) }
            return try takeOver(
                &held, ready: ready, holder, after: claim.generation, wasCounted: true,
                in: directory)
        }
    }

    /// Creates `NAME.pending`; nil when it is there.
    private func create(
        _ held: inout HeldShard, ready: Store.Generation?, in directory: Directory
    ) throws(StoreError) -> ClaimOutcome? {
        let generation = try held.nextGeneration(above: ready ?? 0)
        let text = try section(generation).text
        try held.begin(generation: generation, .claim(name, generation))
        let pending: PendingClaim
        do throws(Errno) {
            pending = PendingClaim(
                file: try store.marker.create(name.pending, in: directory), text: text,
                generation: generation)
            do throws(Errno) {
                try pending.file.write(text)
                if store.isDurable {
                    try pending.file.sync()
                    try directory.sync()
                }
            } catch {
                // Nobody learnt of the claim: as if it had not been made.
                try directory.unlink(name.pending)
                held.takeBack()
                throw error
            }
        } catch {
            if error == .exists {
                held.takeBack()
                // Nothing was changed: a wait may follow, and a signal is to end it.
                unsafe Store.betweenChanges?()
                return nil
            }
            throw StoreError(error, "claim", path: store.path, key: key)
        }
        held.block.counts.pending += 1
        held.commit()
        if case .session = owner, ready == nil {
            store.keptClaims.keep(pending, of: name, besides: held.block)
        }
        return .won(generation, takenOverFrom: nil)
    }

    /// Puts a new claim in the place of a stale one, so that the key is never absent.
    private func takeOver(
        _ held: inout HeldShard, ready: Store.Generation?, _ former: Holder?,
        after generation: Store.Generation = 0, wasCounted: Bool, in directory: Directory
    ) throws(StoreError) -> ClaimOutcome {
        let next = try held.nextGeneration(above: max(generation, ready ?? 0))
        let text = try section(next).text
        let temporary = try store.temporaryName()
        try held.begin(
            generation: next,
            .takeOver(name, next, from: former == nil ? nil : generation))
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
            throw StoreError(error, "take over", path: store.path, key: key)
        }
        if !wasCounted { held.block.counts.pending += 1 }
        held.commit()
        try store.syncAfter("take over", key, in: directory)
        return .won(next, takenOverFrom: former)
    }

    private func section(_ generation: Store.Generation) throws(StoreError) -> ClaimSection {
        // Before the time: a claim must not seem older than the file that its session has just made.
        let session = if case .session = owner { try store.sessionID() } else { UInt64(0) }
        let since = Stamp.now
        var section = ClaimSection(
            name: Array(name.encoded), generation: generation, holder: .nobody, processID: 0,
            command: [],
            place: try store.place(), since: since,
            deadline: staleAfter.map { since.advanced(by: $0) },
            staleAfter: staleAfter.map { max(0, $0.clampedMicroseconds) },
            host: store.isLocal ? nil : HostName.encoded)
        switch owner {
        case .session:
            section.holder = .session(session)
            section.processID = store.shards.processID
            section.command = ClaimSection.encode(command: ProgramName.plain)
        case .process(let process, let command):
            section.holder = .process(process)
            section.processID = process.id
            section.command = ClaimSection.encode(command: command)
        case .nobody: break
        }
        return section
    }
}

extension OpenStore {

    /// Where the store is durable, puts a directory's names on the device.
    ///
    /// The decisive step has been taken: a failure leaves the outcome unknown.
    func syncAfter(
        _ operation: String, _ key: Store.Key, in directory: Directory
    ) throws(StoreError) {
        guard isDurable else { return }
        do throws(Errno) {
            try directory.sync()
        } catch {
            throw .unknownOutcome(operation, key, error)
        }
    }
}
