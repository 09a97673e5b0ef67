internal import SystemCalls

/// What asking to remove a key comes to.
package enum RemoveOutcome: Sendable {
    case removed
    case absent
    /// It is claimed, and was left as it is.
    case pending(Holder)
}

extension Session {
    /// Gives a claim up.
    ///
    /// True if it was there and is now gone.
    ///
    /// Twice is fine, and so is a claim that was finalized meanwhile: a READY value is never touched.
    ///
    /// - Throws: `.claimLost` when the right is a generation and the claim has another. A right of
    ///   ownership that covers nothing changes nothing.
    @discardableResult
    package func abandon(_ key: Store.Key, by right: ClaimRight) throws(StoreError) -> Bool {
        let name = try EntryName(key)
        guard try existing() != nil else { return false }
        return try withStore(name.shard) { (store) throws(StoreError) in
            if let generation = right.generation { _ = store.keptClaims.take(name, generation) }
            guard try store.shardDirectory(name.shard, making: false) != nil else { return false }
            var held = try HeldShard(store, name.shard)
            let directory = try held.directory()
            guard case .whole(let claim) = try store.files.readPending(name, in: directory) else {
                return false
            }
            let ready = try store.files.readyGeneration(name, in: directory)
            if !claim.stands(beside: ready) { return false }
            guard right.covers(claim, at: try store.place()) else {
                guard case .generation = right else { return false }
                let standing = try store.standing(of: claim)
                throw .claimLost(
                    "abandon", key, asked: right.generation,
                    now: .claimed(claim.generation, store.holder(of: claim, standing: standing)))
            }
            try held.begin(.endClaim(.abandoned, name, claim.generation))
            try attempt("abandon \(key)", store.path) { () throws(Errno) in
                _ = try directory.unlink(name.pending)
            }
            held.block.counts.pending -= 1
            held.commit(ending: name)
            try store.syncAfter("abandon", key, in: directory)
            return true
        }
    }

    /// Removes a READY entry, and on request a claim.
    ///
    /// A stale claim is no claim here.
    package func remove(_ key: Store.Key, includingPending: Bool) throws(StoreError)
        -> RemoveOutcome
    {
        let name = try EntryName(key)
        guard try existing() != nil else { return .absent }
        return try withStore(name.shard) { (store) throws(StoreError) in
            guard try store.shardDirectory(name.shard, making: false) != nil else { return .absent }
            var held = try HeldShard(store, name.shard)
            let directory = try held.directory()
            let found = try store.look(at: name, in: directory)
            if !includingPending, case .whole(let claim) = found.pending,
                claim.stands(beside: found.generation),
                let holder = try store.liveHolder(of: claim)
            {
                return .pending(holder)
            }
            let removed = try store.removeFiles(
                found, of: name, telling: .removed, &held, in: directory)
            if removed { try store.syncAfter("remove", key, in: directory) }
            return removed ? .removed : .absent
        }
    }
}

/// The two files of a key, as they are found under the mutex by who is about to remove them.
struct KeyFilesFound {
    /// nil where there is no `NAME`.
    let status: FileStatus?
    /// Of a READY record; nil where there is none, and where it cannot be read.
    let heads: ReadyFile.Heads?
    let pending: StoreFiles.PendingFile

    /// Of `NAME`: nil where there is none, 0 where its record cannot be read.
    var generation: Store.Generation? { status.map { _ in heads?.generation ?? 0 } }
}

extension OpenStore {
    func look(at name: EntryName, in directory: Directory) throws(StoreError) -> KeyFilesFound {
        var pending = StoreFiles.PendingFile.none
        // A look at the name costs half of what opening it in vain does.
        if try attempt(
            "read", file(name.pending, in: name.shard),
            { () throws(Errno) in
                try directory.status(of: name.pending) != nil
            })
        {
            pending = try files.readPending(name, in: directory)
        }
        var status: FileStatus?
        let heads = try files.withRecord(name.ready, of: name, in: directory) {
            (file) throws(Errno) -> ReadyFile.Heads? in
            let found = try file.status()
            status = found
            return found.isRegular
                ? try ReadyFile.readHeads(file, of: name, size: found.size) : nil
        }
        return KeyFilesFound(status: status, heads: heads ?? nil, pending: pending)
    }

    /// Removes both files of a key; false if there were none.
    ///
    /// `NAME.pending` goes first: the other order, killed between, would bring an old claim back to
    /// life.
    func removeFiles(
        of name: EntryName, telling event: ChangeEvent, _ held: inout HeldShard,
        in directory: Directory
    ) throws(StoreError) -> Bool {
        try removeFiles(
            try look(at: name, in: directory), of: name, telling: event, &held, in: directory)
    }

    fileprivate func removeFiles(
        _ found: KeyFilesFound, of name: EntryName, telling event: ChangeEvent,
        _ held: inout HeldShard, in directory: Directory
    ) throws(StoreError) -> Bool {
        let (generation, status) = (found.generation, found.status)
        // nil for what is no claim.
        let claim: Store.Generation?
        switch found.pending {
        case .none:
            if status == nil { return false }
            claim = nil
        case .torn: claim = generation == nil ? 0 : nil
        case .whole(let found):
            claim = found.stands(beside: generation) ? found.generation : nil
        }
        let hasPending = if case .none = found.pending { false } else { true }
        try held.begin(
            .removal(
                event, name, claim: claim, value: status.map { _ in generation ?? 0 },
                hasPending: hasPending, hasReady: status != nil))
        try attempt("remove", file(name.ready, in: name.shard)) { () throws(Errno) in
            try unlinkFiles(of: name, hasPending, hasReady: status != nil, &held, in: directory)
        }
        if claim != nil { held.block.counts.pending -= 1 }
        if let status, status.isRegular {
            held.block.counts.ready -= 1
            held.block.counts.subtract(bytes: status.size)
            // Somebody has changed it in place: with what size it was counted it does not tell any more.
            if found.heads?.size != status.size { held.doubtCounts() }
        }
        held.commit(ending: name)
        return true
    }

    private func unlinkFiles(
        of name: EntryName, _ hasPending: Bool, hasReady: Bool, _ held: inout HeldShard,
        in directory: Directory
    ) throws(Errno) {
        var isWhole = true
        do throws(Errno) {
            if hasPending {
                try directory.unlink(name.pending)
                isWhole = false
            }
            // Not where there is none: failing at that, a removal that happened would be an error.
            if hasReady { try directory.unlink(name.ready) }
        } catch {
            // Refused before anything was done: nothing is to be counted anew.
            if isWhole && error == .notPermitted { held.takeBack() }
            throw error
        }
    }
}
