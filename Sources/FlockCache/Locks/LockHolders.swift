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
    /// How many wait for it, or for another that shares its place on the board; nil where nobody counts.
    let waiters: Int?
}

extension OpenStore {
    /// Who holds a lock; nil where nobody does, or nobody knows.
    ///
    /// Of several who share it, it is the last to come.
    func lockHolder(of name: LockName, slot: Int = 0) -> Holder? {
        let elsewhere = noted(at: name.slot(slot))
        guard let note = board.forWaking()?.note(in: name.slot(slot)) ?? elsewhere?.note,
            note.hash == name.hash, let locks = try? locksDirectory(),
            let mode = (try? Self.lock(at: name.byte + slot, of: name.table, in: locks)) ?? nil
        else { return nil }
        // It may be that of a former holder.
        if let elsewhere, !elsewhere.fits(mode) { return nil }
        return elsewhere.map { holder(of: $0) } ?? holder(of: note)
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

    /// All locks that are held, or those of one key.
    ///
    /// The kernel says which; who has one, and of which key it is, the board. Two locks whose notes have one place there
    /// leave one note, and where there is no board there are none.
    func heldLocks(of name: LockName? = nil) throws(StoreError) -> [LockListing] {
        var held = try lockedBytes(of: name)
        guard !held.isEmpty else { return [] }
        let board = board.forWaking()
        let bytes = board == nil ? BoardFile.bytes(of: files) : nil
        var listings: [LockListing] = []
        for slot in 0..<BoardLayout.slotCount {
            guard let note = board?.note(in: slot) ?? bytes.flatMap({ LockNote($0, slot: slot) }),
                let place = LockPlace(note), held.removeValue(forKey: place) != nil
            else { continue }
            listings.append(
                LockListing(
                    hash: note.hash, key: note.key, keyStart: note.keyStart, kind: note.kind,
                    holder: holder(of: note),
                    waiters: waiters(at: LockName.byte(of: note.hash), board)))
        }
        for place in isLocal ? [] : Array(held.keys) {
            guard let noted = noted(at: place.slot), LockPlace(noted.note) == place,
                noted.fits(held[place] ?? .exclusive)
            else { continue }
            held[place] = nil
            let note = noted.note
            listings.append(
                LockListing(
                    hash: note.hash, key: note.key, keyStart: note.keyStart, kind: note.kind,
                    holder: holder(of: noted), waiters: nil))
        }
        let places = held.keys.sorted { ($0.table, $0.byte) < ($1.table, $1.byte) }
        let isOfSlots =
            listings.contains { $0.kind.isSlot } || places.contains { $0.byte != name?.byte }
        for place in places {
            listings.append(
                unnoted(place, held[place] ?? .exclusive, name, isOfSlots: isOfSlots, board))
        }
        return listings
    }

    /// One of which there is no note.
    private func unnoted(
        _ place: LockPlace, _ mode: LockFile.Mode, _ name: LockName?, isOfSlots: Bool,
        _ board: Board?
    ) -> LockListing {
        let kind: LockKind = mode == .shared ? .shared : .exclusive
        guard let name else {
            // Which slot of a lock it is, if it is one of several, cannot be told.
            return LockListing(
                hash: place.hash, key: nil, keyStart: Store.Key([]), kind: kind, holder: nil,
                waiters: waiters(at: place.byte, board))
        }
        return LockListing(
            hash: name.hash, key: name.key, keyStart: name.key,
            kind: isOfSlots ? .slot(place.byte - name.byte) : kind, holder: nil,
            waiters: waiters(at: name.byte, board))
    }

    private func waiters(at byte: Int, _ board: Board?) -> Int? {
        board?.waiters(inQueueOfSlot: byte & (BoardLayout.slotCount - 1))
    }

    /// The bytes of locks that somebody has locked.
    private func lockedBytes(
        of name: LockName?
    ) throws(StoreError) -> [LockPlace: LockFile.Mode] {
        let locks = try locksDirectory()
        var found: [LockPlace: LockFile.Mode] = [:]
        let tables = name.map { $0.table..<$0.table + 1 } ?? 0..<LockName.tableCount
        // The slots of the last key go beyond the highest hash.
        let first = name?.byte ?? 0
        let bytes = first..<(name == nil ? LockName.byteCount : first) + Limits.slots
        for table in tables {
            try attempt("ask for the locks of", path) { () throws(Errno) in
                do throws(Errno) {
                    let file = try locks.open(Layout.lockTable(table), .read)
                    for (byte, mode) in try file.locksOfOthers(in: bytes) {
                        found[LockPlace(table: table, byte: byte)] = mode
                    }
                } catch {
                    if error != .noEntry { throw error }
                }
            }
        }
        return found
    }

    /// nil when the noted process is dead: then the lock is held by a process that wrote no note.
    private func holder(of note: LockNote) -> Holder? {
        let isHere = (try? place())?.processNamespace == note.processNamespace
        guard note.processID != 0, !isHere || isThere(note) else { return nil }
        return Holder(
            processID: note.processID,
            command: command(of: note),
            age: .nanoseconds(max(0, BootTime.now.nanoseconds - note.since.nanoseconds)),
            liveness: isHere ? .alive : .unknown, session: nil)
    }

    /// Of a note that another machine may have written, whose processes and clock say nothing here.
    private func holder(of noted: HolderNote) -> Holder? {
        let host = noted.host.isEmpty ? nil : text(ofCommand: noted.host)
        let isOfThisBoot = (try? place())?.boot == noted.boot
        if isOfThisBoot {
            return holder(of: noted.note).map {
                Holder(
                    processID: $0.processID, command: $0.command, host: host, age: $0.age,
                    liveness: $0.liveness, session: nil)
            }
        }
        guard noted.note.processID != 0 else { return nil }
        return Holder(
            processID: noted.note.processID, command: command(of: noted.note), host: host,
            age: nil, liveness: .unknown, session: nil)
    }

    private func command(of note: LockNote) -> String? {
        note.command.isEmpty
            ? nil : printable(String(decoding: note.command, as: UTF8.self))
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

/// Where a lock's byte is.
private struct LockPlace: Hashable {
    let table: Int
    let byte: Int

    init(table: Int, byte: Int) {
        self.table = table
        self.byte = byte
    }

    /// nil for a note of nonsense.
    init?(_ note: LockNote) {
        let index = if case .slot(let index) = note.kind { index } else { 0 }
        guard index < Limits.slots else { return nil }
        self.init(table: Int(note.hash & 63), byte: LockName.byte(of: note.hash) + index)
    }

    /// Where it is noted, of a key's slots as well.
    var slot: Int { byte & (BoardLayout.slotCount - 1) }

    /// The hash of the key, if it is the first byte of its lock.
    var hash: UInt64 { UInt64(byte) << 6 | UInt64(table) }
}

extension HolderNote {
    /// Whether it is of a lock that is held so.
    fileprivate func fits(_ mode: LockFile.Mode) -> Bool {
        (note.kind == .shared) == (mode == .shared)
    }
}

extension LockKind {
    fileprivate var isSlot: Bool { if case .slot = self { true } else { false } }
}
