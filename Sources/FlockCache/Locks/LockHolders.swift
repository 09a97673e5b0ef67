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
    let holder: Holder
    /// How many wait for it, or for another that shares its place on the board.
    let waiters: Int
}

extension OpenStore {
    /// Who holds a lock; nil where nobody does, or nobody knows.
    ///
    /// Of several holders it is the last to come; of slots that of the first.
    func lockHolder(of name: LockName) -> Holder? {
        guard let board = boardForWaking(), let note = board.note(in: name.slot(0)),
            note.hash == name.hash, let locks = try? locksDirectory(),
            (try? Self.isLocked(name, slot: 0, in: locks)) == true
        else { return nil }
        return holder(of: note)
    }

    /// Whether somebody else holds a slot of a lock; asked through a descriptor that holds none.
    static func isLocked(
        _ name: LockName, slot: Int, in locks: Directory
    ) throws(Errno) -> Bool {
        try isLocked(name.byte + slot, of: name.table, in: locks)
    }

    private static func isLocked(
        _ byte: Int, of table: Int, in locks: Directory
    ) throws(Errno) -> Bool {
        do throws(Errno) {
            return try locks.open(Layout.lockTable(table), .read).isLockedByOthers(at: byte)
        } catch {
            if error == .noEntry { return false }
            throw error
        }
    }

    /// All locks that are held and noted on the board.
    func heldLocks() throws(StoreError) -> [LockListing] {
        guard let board = boardForWaking() else { return [] }
        let locks = try locksDirectory()
        var listings: [LockListing] = []
        for slot in 0..<BoardFile.slotCount {
            guard let note = board.note(in: slot) else { continue }
            let byte = LockName.byte(of: note.hash)
            let index = if case .slot(let index) = note.kind { index } else { 0 }
            guard index < LockName.mostSlots else { continue }
            let isHeld = try attempt("ask for the locks of", path) { () throws(Errno) in
                try Self.isLocked(byte + index, of: Int(note.hash & 63), in: locks)
            }
            guard isHeld else { continue }
            listings.append(
                LockListing(
                    hash: note.hash, key: note.key, keyStart: note.keyStart, kind: note.kind,
                    holder: holder(of: note),
                    waiters: board.waiters(.slot(byte & (BoardFile.slotCount - 1)))))
        }
        return listings
    }

    private func holder(of note: LockNote) -> Holder {
        let isHere = (try? place())?.processNamespace == note.processNamespace
        let isThere = isHere && Process.exists(note.processID)
        return Holder(
            processID: note.processID,
            command: note.command.isEmpty
                ? nil : printable(String(decoding: note.command, as: UTF8.self)),
            since: .nanoseconds(max(0, BootTime.now.nanoseconds - note.since.nanoseconds)),
            liveness: isThere ? .alive : isHere ? .dead : .unknown, session: nil)
    }
}
