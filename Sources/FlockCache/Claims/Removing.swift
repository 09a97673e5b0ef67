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
    package func remove(_ key: Store.Key, evenPending: Bool) throws(StoreError) -> RemoveOutcome {
        let name = try EntryName(key)
        guard try existing() != nil else { return .absent }
        return try withStore(name.shard) { (store) throws(StoreError) in
            guard try store.shardDirectory(name.shard, making: false) != nil else { return .absent }
            var held = try HeldShard(store, name.shard)
            let directory = try held.directory()
            let ready = try store.files.readyGeneration(name, in: directory)
            let pending = try store.files.readPending(name, in: directory)
            if !evenPending, case .whole(let claim) = pending, claim.stands(beside: ready),
                let holder = try store.liveHolder(of: claim)
            {
                return .pending(holder)
            }
            let removed = try store.removeFiles(
                of: name, telling: .removed, &held, in: directory)
            if removed { try store.syncAfter("remove", key, in: directory) }
            return removed ? .removed : .absent
        }
    }
}

extension OpenStore {
    /// Removes both files of a key; false if there were none.
    ///
    /// `NAME.pending` goes first: the other order, killed between, would bring an old claim back to
    /// life.
    func removeFiles(
        of name: EntryName, telling event: ChangeEvent, _ held: inout HeldShard,
        in directory: Directory
    ) throws(StoreError) -> Bool {
        let heads = try files.readyHeads(name, in: directory)
        let generation = heads.map { $0?.generation ?? 0 }
        let pending = try files.readPending(name, in: directory)
        let status = try attempt("read", file(name.ready, in: name.shard)) { () throws(Errno) in
            try directory.status(of: name.ready)
        }
        // nil for what is no claim.
        let claim: Store.Generation?
        switch pending {
        case .none:
            if status == nil { return false }
            claim = nil
        case .torn: claim = generation == nil ? 0 : nil
        case .whole(let found):
            claim = found.stands(beside: generation) ? found.generation : nil
        }
        let hasPending = if case .none = pending { false } else { true }
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
            if heads??.size != status.size { held.doubtCounts() }
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
