internal import SystemCalls

// What becomes of a change whose process was killed.
//
// Whoever has taken the mutex and finds the mark knows from the intent what was about to be done, and finds the
// files as the killed process left them: all others do this first, too. So it can be decided whether the change
// happened:
//
//   claim       NAME.pending is complete and has the generation; an incomplete one is removed
//   take-over   NAME.pending has the generation
//   publish     NAME has the generation
//   end         NAME.pending is gone, or another
//   removal     both files are gone; where only the claim is gone, NAME is removed now
//   set aside   NAME is gone
//   lease       a cell of the slot has the sequence and is whole
//
// An intent that has a record's number needs no decision: the number is written after the change was made.
//
// What could break it: a kill in here (each step may be repeated), a failing device (the mark stays, and the next
// tries again), hands (what was changed past the library is told by nobody).

extension ChangeJournal {
    /// Tells of the change that the shard's mark is of, if it happened and is not told yet.
    ///
    /// The caller has the shard's mutex, and clears the mark afterwards.
    func recover(_ shard: Int, _ patience: Duration) throws(StoreError) {
        let intents = try currentIntents()
        // None: the first marked change of this shard was killed before it could intend anything.
        guard var intent = try intents.read(shard), intent.kind != .untold else { return }
        if intent.number == 0, !intent.hasHappened {
            intent.events = try eventsThatHappened(of: intent, in: shard)
        }
        guard !intent.events.isEmpty else { return }
        do throws(StoreError) {
            try tell(intent, of: shard, patience: min(patience, Self.patience))
        } catch {
            try remember(intent, of: shard)
            throw error
        }
    }

    private func eventsThatHappened(
        of intent: Intent, in shard: Int
    ) throws(StoreError) -> [ToldEvent] {
        guard let name = EntryName(shard: shard, encoded: intent.name) else { return [] }
        if intent.kind == .lease {
            return try eventsOfLease(intent, of: name)
        }
        guard let directory = try files.shardDirectory(shard, making: false) else {
            // The whole directory was removed, by hand: what ends a key has come true.
            return intent.freesRoom ? intent.events : []
        }
        switch intent.kind {
        case .untold, .lease: return []
        case .claim, .takeOver:
            return try isClaimed(intent, name, in: directory) ? intent.events : []
        case .publish:
            let generation = try files.readyGeneration(name, in: directory)
            return generation == intent.generation ? intent.events : []
        case .endClaim:
            return try isClaimOver(intent, name, in: directory) ? intent.events : []
        case .removal: return try completeRemoval(intent, name, in: directory)
        case .setAside:
            return try isThere(name.ready, of: name, in: directory) ? [] : intent.events
        }
    }

    private func isClaimed(
        _ intent: Intent, _ name: EntryName, in directory: Directory
    ) throws(StoreError) -> Bool {
        switch try files.readPending(name, in: directory) {
        case .none: return false
        case .whole(let claim): return claim.generation == intent.generation
        case .torn:
            guard intent.kind == .claim else { return false }
            try attempt("remove", files.file(name.pending, in: name.shard)) { () throws(Errno) in
                _ = try directory.unlink(name.pending)
            }
            return false
        }
    }

    private func isClaimOver(
        _ intent: Intent, _ name: EntryName, in directory: Directory
    ) throws(StoreError) -> Bool {
        switch try files.readPending(name, in: directory) {
        case .none: true
        case .whole(let claim): claim.generation != intent.generation
        case .torn: false
        }
    }

    /// Which of the events of a removal have come true; what was half done is completed.
    private func completeRemoval(
        _ intent: Intent, _ name: EntryName, in directory: Directory
    ) throws(StoreError) -> [ToldEvent] {
        let hasPending = try isThere(name.pending, of: name, in: directory)
        let hasReady = try isThere(name.ready, of: name, in: directory)
        if hasPending && intent.hasPending { return [] }
        guard intent.hasReady && hasReady else { return intent.events }
        // NAME.pending goes first: where there was none, nothing was done.
        guard intent.hasPending else { return [] }
        do throws(Errno) {
            try directory.unlink(name.ready)
            return intent.events
        } catch {
            // It stays, as it did for the one that was killed; only the claim has ended.
            return intent.hasClaimEvent ? [intent.events[0]] : []
        }
    }

    private func isThere(
        _ file: FileName, of name: EntryName, in directory: Directory
    ) throws(StoreError) -> Bool {
        try attempt("look at", files.file(file, in: name.shard)) { () throws(Errno) in
            try directory.status(of: file) != nil
        }
    }

    /// What came true of a change of a lease's slot: all of it where the cell is there that was to be written.
    ///
    /// A grant that was released again, because it could not be put on the device, nobody knows of.
    private func eventsOfLease(
        _ intent: Intent, of name: EntryName
    ) throws(StoreError) -> [ToldEvent] {
        let cells = try cells(ofSlot: intent.slot, of: name)
        guard let cell = cells.first(where: { $0.sequence == intent.sequence }) else { return [] }
        let isUndone = cells.contains {
            $0.sequence == cell.sequence + 1 && $0.generation == cell.generation && $0.isReleased
        }
        return isUndone ? intent.events.filter { $0.event != .leased } : intent.events
    }

    private func cells(ofSlot slot: Int, of name: EntryName) throws(StoreError) -> [LeaseCell] {
        let path = Layout.leasePath(name.shard)
        return try attempt("read the lease of", files.file(path, in: nil)) { () throws(Errno) in
            do throws(Errno) {
                let file = try files.root.openDirectory(beneath: path).open(name.ready, .read)
                let bytes = try file.contents(
                    upTo: LeaseCell.bytesPerSlot, at: slot * LeaseCell.bytesPerSlot)
                return stride(from: 0, to: bytes.count, by: LeaseCell.byteCount).compactMap {
                    let cell = bytes[$0..<min(bytes.count, $0 + LeaseCell.byteCount)]
                    return unsafe cell.withUnsafeBytes { unsafe LeaseCell($0) }
                }
            } catch {
                if error == .noEntry { return [] }
                throw error
            }
        }
    }
}

extension ChangeJournal {
    /// Tells of what killed processes have changed in shards that nobody uses now, without waiting for anything.
    ///
    /// What is in the way of one of them, those are told who change it.
    func recoverMarkedShards() {
        guard let file = try? shards.fileForReading(), file.isWritable,
            let blocks = try? file.readAll()
        else { return }
        for (shard, block) in blocks.enumerated() where block?.changer != 0 {
            // Taking the mutex is all: whoever has it goes on, and tells by himself.
            _ = try? HeldShard(shards, shard, telling: self, patience: .zero)
        }
    }
}
