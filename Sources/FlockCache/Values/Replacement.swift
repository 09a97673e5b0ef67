internal import SystemCalls

/// A record that is about to take the place of a key's value.
struct Replacement {
    /// The private name that it has until then.
    let temporary: FileName
    let generation: Store.Generation
    let content: Content

    enum Content {
        /// All of it: the file is still to be made.
        case text([UInt8])
        /// Its claim section: the value is in the file already, which is counted as a temporary.
        case written(LargeRecord, claim: [UInt8])
    }

    var size: Int {
        switch content {
        case .text(let text): text.count
        case .written(let record, _): record.size
        }
    }
}

extension ValueChange {
    /// Puts a record in the place of the value, and a claim that does not stand out of the way.
    ///
    /// First the value, then the claim: the other order, killed between, would lose a claim without having set
    /// the value. Between the two the claim is debris, its generation being lower.
    ///
    /// - Returns: false where the key is not what it was found to be, by somebody who changes it without the mutex;
    ///   nothing has changed then.
    func replace(
        _ former: Former?, _ beside: Beside, by new: Replacement, _ held: inout HeldShard,
        in directory: Directory
    ) throws(StoreError) -> Bool {
        try held.begin(
            generation: new.generation, .publish(event, name, new.generation))
        let placed: Placed?
        do throws(Errno) {
            placed = try place(new, over: former != nil, in: directory)
            if placed == nil { try takeBack(new, &held, in: directory) }
        } catch {
            // Where it cannot be taken back either, the mark stays, and the reaper sweeps the file.
            try? takeBack(new, &held, in: directory)
            throw StoreError(error, operation, path: store.path, key: key)
        }
        guard let placed else { return false }

        // The value is set. What cannot be removed now does no harm: the mark stays, and the next counts anew.
        let isTidy = (try? tidyUp(placed, new, beside, in: directory)) != nil
        let isAwaited = if case .nothing = beside { former == nil } else { true }
        if isAwaited { held.tellWaiters(of: name) }
        if store.isDurable {
            do throws(Errno) {
                // Before the commit: who finds the mark synchronises the names, see `HeldShard`.
                try directory.sync()
            } catch {
                throw .unknownOutcome(operation, key, error)
            }
        }
        guard isTidy else { return true }
        count(former, beside, new, &held)
        held.commit(ending: isAwaited ? name : nil)
        return true
    }

    private func count(
        _ former: Former?, _ beside: Beside, _ new: Replacement, _ held: inout HeldShard
    ) {
        held.block.counts.ready += former == nil ? 1 : 0
        held.block.counts.subtract(bytes: former?.size ?? 0)
        held.block.counts.add(bytes: new.size)
        if case .leftover(_, isCounted: true) = beside { held.block.counts.pending -= 1 }
        if case .written = new.content { held.block.counts.temporaries -= 1 }
        if former?.hasItsSize == false { held.doubtCounts() }
    }

    /// How the record came to its name.
    private enum Placed {
        /// Its private name is gone.
        case renamed
        /// The private name is now the old record's, or a second one of the new record's.
        case leavingAName
    }

    /// Gives the record the name of the value; nil where that is not what it was found to be.
    private func place(
        _ new: Replacement, over hasFormer: Bool, in directory: Directory
    ) throws(Errno) -> Placed? {
        let inode: UInt64
        switch new.content {
        case .text(let text):
            let file = try store.marker.create(new.temporary, in: directory)
            try file.write(text)
            if store.isDurable { try file.sync() }
            inode = store.isLocal ? 0 : try file.status().inode
        case .written(let record, let claim):
            try record.finish(as: claim)
            inode = store.isLocal ? 0 : try record.inode()
        }
        do throws(Errno) {
            return try rename(new.temporary, over: hasFormer, in: directory)
        } catch {
            if error == .exists || error == .noEntry { return nil }
            // A network file system may report a rename that happened as failed.
            guard !store.isLocal, try directory.status(of: name.ready)?.inode == inode else {
                throw error
            }
            return .leavingAName
        }
    }

    /// The decisive step.
    ///
    /// Over a value the two names change places: on ext4 a rename over it would force the data out first, which
    /// costs twice as much.
    private func rename(
        _ temporary: FileName, over hasFormer: Bool, in directory: Directory
    ) throws(Errno) -> Placed {
        do throws(Errno) {
            if hasFormer {
                try directory.exchange(temporary, with: name.ready)
                return .leavingAName
            }
            try directory.renameNew(temporary, to: name.ready, in: directory)
            return .renamed
        } catch {
            guard error == .invalid else { throw error }
        }
        if hasFormer {
            try directory.rename(temporary, to: name.ready)
            return .renamed
        }
        try directory.link(temporary, as: name.ready)
        return .leavingAName
    }

    private func tidyUp(
        _ placed: Placed, _ new: Replacement, _ beside: Beside, in directory: Directory
    ) throws(Errno) {
        if case .leavingAName = placed { try directory.unlink(new.temporary) }
        if case .leftover = beside { try directory.unlink(name.pending) }
    }

    /// Nothing has happened: removes what was made for it, and says so.
    private func takeBack(
        _ new: Replacement, _ held: inout HeldShard, in directory: Directory
    ) throws(Errno) {
        // A file that was counted its maker removes.
        if case .text = new.content { try directory.unlink(new.temporary) }
        held.takeBack()
    }
}
