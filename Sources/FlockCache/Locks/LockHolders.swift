internal import SystemCalls

// Who holds locks, for messages: what the board says, where the byte is locked now.

/// A lock that is held.
struct LockListing {
    let hash: UInt64
    /// nil where the board does not have the whole of it.
    let key: Store.Key?
    /// As much of the key as the board has.
    let keyStart: Store.Key
    let kind: LockKind
    /// nil where it is not known who.
    let holder: Holder?
    /// How many wait for it, or for another that shares its place on the board.
    let waiters: Int
}

extension OpenStore {
    /// Who holds a lock; nil where nobody does, or nobody knows.
    ///
    /// Of several who share it, it is the last to come.
    func lockHolder(of name: LockName, slot: Int = 0) -> Holder? {
        guard let board = board.forWaking(), let note = board.note(in: name.slot(slot)),
            note.hash == name.hash, let locks = try? locksDirectory(),
            (try? Self.isLocked(name, slot: slot, in: locks)) == true
        else { return nil }
        return holder(of: note)
    }

    /// Whether somebody else holds a slot of a lock; asked through a descriptor that holds none.
    static func isLocked(
        _ name: LockName, slot: Int, in locks: Directory
    ) throws(Errno) -> Bool {
        try lock(at: name.byte + slot, of: name.table, in: locks) != nil
    }

    /// How somebody else holds a byte of the lock table; nil where nobody does.
    static func lock(
        at byte: Int, of table: Int, in locks: Directory
    ) throws(Errno) -> LockFile.Mode? {
        do throws(Errno) {
            return try locks.open(Layout.lockTable(table), .read).lockOfOthers(at: byte)
        } catch {
            if error == .noEntry { return nil }
            throw error
        }
    }

    /// All locks that are held and noted on the board.
    func heldLocks() throws(StoreError) -> [LockListing] {
        guard let board = board.forWaking() else { return [] }
        let locks = try locksDirectory()
        var listings: [LockListing] = []
        for slot in 0..<BoardLayout.slotCount {
            guard let note = board.note(in: slot) else { continue }
            let byte = LockName.byte(of: note.hash)
            let index = if case .slot(let index) = note.kind { index } else { 0 }
            guard index < Limits.slots else { continue }
            let isHeld = try attempt("ask for the locks of", path) { () throws(Errno) in
                try Self.lock(at: byte + index, of: Int(note.hash & 63), in: locks) != nil
            }
            guard isHeld else { continue }
            listings.append(
                LockListing(
                    hash: note.hash, key: note.key, keyStart: note.keyStart, kind: note.kind,
                    holder: holder(of: note),
                    waiters: board.waiters(
                        inQueueOfSlot: byte & (BoardLayout.slotCount - 1))))
        }
        return listings
    }

    /// nil when the noted process is dead: then the lock is held by a process that wrote no note.
    private func holder(of note: LockNote) -> Holder? {
        let isHere = (try? place())?.processNamespace == note.processNamespace
        guard note.processID != 0, !isHere || isThere(note) else { return nil }
        return Holder(
            processID: note.processID,
            command: note.command.isEmpty
                ? nil : printable(String(decoding: note.command, as: UTF8.self)),
            age: .nanoseconds(max(0, BootTime.now.nanoseconds - note.since.nanoseconds)),
            liveness: isHere ? .alive : .unknown, session: nil)
    }

    /// Whether the process of a note lives, and began before it got the lock: a later one has its number by
    /// chance.
    private func isThere(_ note: LockNote) -> Bool {
        guard let status = ProcessStatus(of: note.processID) else {
            return Process.exists(note.processID)
        }
        // In ticks of a hundredth of a second on every system that we know.
        return Int64(clamping: status.startTime) * 10_000_000 <= note.since.nanoseconds + 20_000_000
    }
}
