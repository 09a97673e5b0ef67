internal import SystemCalls

// What a lock says of its holder, on the board or, where machines share the store, in a file (HolderFile.swift): for
// people, and to find a killed holder's COMMAND. A note proves nothing; the byte in the lock table does.

extension KeyLock {
    func takeNote(_ slot: Int, since: BootTime) {
        guard let board else { return takeNoteForOthers(slot, since: since) }
        former = board.note(in: name.slot(slot))
        let note = LockNote(name, Self.kind(mode, slot), table.program, since: since)
        board.put(note, in: name.slot(slot))
        self.note = note
    }

    /// Where machines share the store.
    private func takeNoteForOthers(_ slot: Int, since: BootTime) {
        guard !store.isLocal else { return }
        let note = LockNote(name, Self.kind(mode, slot), table.program, since: since)
        store.putHolder(note, at: name.slot(slot))
        self.note = note
    }

    /// Says that nobody knows who shares the lock, where machines share the store and this one was the last to come.
    ///
    /// Call it before the lock is given back: as long as it is shared nobody has it alone, whose note this could
    /// overwrite.
    func leaveNoteForOthers(_ file: borrowing LockFile) {
        guard !store.isLocal, mode == .shared, var left = note,
            (try? file.isLockedByOthers(at: name.byte)) == true,
            store.noted(at: name.slot(0))?.note.check == left.check
        else { return }
        left.forgetHolder()
        store.putHolder(left, at: name.slot(0))
    }

    func takeNoteAway(_ slot: Int) {
        if let note { board?.remove(note, from: name.slot(slot)) }
    }

    /// Says what is left of a shared lock when one goes.
    ///
    /// Of several the last to come is noted. When that one goes the lock is still held, but nobody knows by
    /// whom; and the last to go takes away what is left.
    ///
    /// - Returns: whether it is the last to go, as far as can be told.
    func leaveNote(_ file: borrowing LockFile) -> Bool {
        guard let board else { return true }
        let isLast = (try? file.isLockedByOthers(at: name.byte)) != true
        guard var left = board.note(in: name.slot(0)), left.hash == name.hash, left.kind == .shared
        else { return isLast }
        if isLast {
            board.remove(left, from: name.slot(0))
        } else if let note, left.check == note.check {
            left.forgetHolder()
            board.put(left, in: name.slot(0))
        }
        return isLast
    }

    private static func kind(_ mode: HeldLock.Mode, _ slot: Int) -> LockKind {
        switch mode {
        case .exclusive: .exclusive
        case .shared: .shared
        case .slots: .slot(slot)
        }
    }

    /// The process that had the lock before and did not release it; nil for none.
    ///
    /// Of this PID namespace. It may still be ending: the kernel frees a process's locks before it kills the
    /// process's children.
    var killedHolder: Int32? {
        guard let former, former.hash == name.hash,
            former.processNamespace == note?.processNamespace,
            // Others may share it.
            mode != .shared || former.kind == .exclusive
        else { return nil }
        return former.processID
    }

    /// Notes what is run under the lock.
    func note(command: [UInt8]) {
        guard let slot, var note else { return }
        note.rename(to: command)
        board?.put(note, in: name.slot(slot))
        if board == nil { store.putHolder(note, at: name.slot(slot)) }
        self.note = note
    }

    /// Who holds the lock, for messages; nil where that is not known.
    func holder() -> Holder? { store.lockHolder(of: name) }
}
