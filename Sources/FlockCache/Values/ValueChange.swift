// Values: set and counted without a claim.
//
//   put         absent, READY, or a stale claim → READY of a higher generation
//   increment   the same, to a number: in place where the record is a counter (`CounterRecord`), otherwise by a new
//               record
//
// A claim that stands is left alone, and so is the key. Each is one change under the shard's mutex: a generation,
// `begin`, the files, `commit`. One of the steps decides: a rename of the new record to NAME, or the write of a cell.
// Whether the change has happened is seen from the files alone: NAME has its generation, or has not.
//
// What could break it: a kill before that step (NAME is the old one; what was being written has a private name, and
// the reaper sweeps it), a kill after it (NAME is the new one; the old one has the private name, a claim beside it
// has a lower generation and is debris; the mark has the shard counted anew), a rival (the mutex), a write that ends
// half-way (the cell that counts is never the one that is written), a reader between two steps (NAME is there all
// the time: two names change places), a full disk (the new record is written whole first; a cell needs no room), a
// power cut (a durable store has the record on the device before it has its name, the name before it is
// acknowledged, and the cell before it is acknowledged).

internal import SystemCalls

/// Setting a key's value without a claim: what `put` and `increment` have in common.
struct ValueChange {
    let store: OpenStore
    let session: Session
    let name: EntryName
    var key: Store.Key { name.key }
    /// For messages: "put", "increment".
    let operation: String
    /// What is told of it.
    var event: ChangeEvent { operation == "increment" ? .incremented : .put }

    /// How often a key is looked at that somebody changes without the mutex, as where a lock server lies.
    static let mostLooks = 10

    /// The READY record that is to be replaced.
    struct Former {
        let generation: Store.Generation
        /// Of the file, and whether it is what was written: otherwise it was counted with another.
        let size: Int
        let hasItsSize: Bool
    }

    /// What `NAME.pending` is.
    enum Beside {
        case nothing
        /// A stale claim, a torn one, or what a killed finalize left.
        case leftover(Store.Generation, isCounted: Bool)
        case live(Holder)

        var generation: Store.Generation {
            if case .leftover(let generation, _) = self { generation } else { 0 }
        }
    }

    /// The READY record; nil where there is none.
    ///
    /// One that is damaged is set aside first: `kept` becomes the path at which it is kept.
    func former(
        _ held: inout HeldShard, in directory: Directory, setAside kept: inout String?
    ) throws(StoreError) -> Former? {
        let found = try look(in: directory)
        guard let damaged = found, damaged == nil else { return found ?? nil }
        kept = try session.setAsideIfDamaged(name, &held, in: directory) ?? kept
        return try look(in: directory) ?? nil
    }

    private func look(in directory: Directory) throws(StoreError) -> Former?? {
        try store.files.withRecord(name.ready, of: name, in: directory) {
            (file) throws(Errno) -> Former? in
            let status = try file.status()
            guard status.isRegular,
                let heads = try ReadyFile.readHeads(file, of: name, size: status.size)
            else { return nil }
            return Former(
                generation: heads.generation, size: status.size,
                hasItsSize: heads.size == status.size)
        }
    }

    /// What stands beside a READY record of that generation, or alone.
    func beside(
        _ ready: Store.Generation?, in directory: Directory
    ) throws(StoreError) -> Beside {
        // A look at the name costs half of what opening it in vain does.
        let isThere = try attempt("read", store.file(name.pending, in: name.shard)) {
            () throws(Errno) in try directory.status(of: name.pending) != nil
        }
        guard isThere else { return .nothing }
        switch try store.files.readPending(name, in: directory) {
        case .none: return .nothing
        case .torn: return .leftover(0, isCounted: ready == nil)
        case .whole(let claim):
            guard claim.stands(beside: ready) else {
                return .leftover(claim.generation, isCounted: false)
            }
            if let holder = try store.liveHolder(of: claim) { return .live(holder) }
            return .leftover(claim.generation, isCounted: true)
        }
    }

    /// The claim section of a new record, whose generation is still to be given: it says who has set the value.
    ///
    /// Of a session, so that nobody who finalizes without a generation takes it for the end of a claim of his own.
    func section() throws(StoreError) -> ClaimSection {
        ClaimSection(
            name: Array(name.encoded), generation: 0, holder: .session(try store.sessionID()),
            processID: store.shards.processID,
            command: ClaimSection.encode(command: ProgramName.plain),
            place: try store.place(), since: .now, deadline: nil)
    }
}
