internal import SystemCalls

extension Session {
    /// Looks at a READY record again under the mutex, and if its check fails moves it to
    /// `damaged/`, where it can be inspected; the key then counts as absent.
    ///
    /// - Returns: the path at which it is kept, nil if it was not damaged (any more). To be reported
    ///   when the mutex is free again: whoever hears of it may well use the store.
    func setAsideIfDamaged(
        _ name: EntryName, _ held: inout HeldShard, in directory: Directory
    ) throws(StoreError) -> String? {
        let store = held.files
        let path = store.file(name.ready, in: name.shard)
        let isDamaged = try store.withRecord(name.ready, of: name, in: directory) {
            (file) throws(Errno) in
            if case .damaged = try ReadyFile.read(file, name) { true } else { false }
        }
        guard isDamaged == true else { return nil }

        // A `NAME.pending` that does not stand beside the READY record is debris. It goes first: once the READY
        // record is gone it would count as a claim.
        let generation = try store.readyGeneration(name, in: directory) ?? 0
        let hasClaim = try store.standingClaim(name, besideReady: generation, in: directory) != nil
        let kept = try store.damagedDirectory()
        let target = Layout.damagedRecord(name, at: WallClock.microseconds)
        try held.begin(.setAside(name, generation))
        try attempt("set aside", path) { () throws(Errno) in
            if !hasClaim { try directory.unlink(name.pending) }
            try directory.rename(name.ready, to: target, in: kept)
        }
        // The damaged file no longer tells which size was counted for it, so the shard is counted again. If
        // that fails the mark stays, and whoever takes the mutex next counts.
        if let count = try? store.count(name.shard, removingDebris: true), count.isSound {
            held.block.counts = count.counts
            held.commit()
        }
        return store.file(Layout.damaged, in: nil) + "/"
            + String(decoding: target.bytes, as: UTF8.self)
    }
}
