internal import SystemCalls

extension Session {
    /// Looks at a READY record again under the mutex, and if its check fails moves it to
    /// `damaged/`, where it can be inspected; the key then counts as absent.
    ///
    /// Reported through `onDamage`.
    ///
    /// - Returns: whether it was still damaged.
    @discardableResult
    func setAsideIfDamaged(
        _ name: EntryName, _ key: Store.Key, _ held: inout HeldShard, in directory: Directory
    ) throws(StoreError) -> Bool {
        let store = held.store
        let path = store.file(name.ready, in: name.shard)
        // The size of what is there, if that is damaged.
        let damaged = try store.withRecord(name.ready, of: name, in: directory) {
            (file) throws(Errno) -> Int? in
            let size = try file.status().size
            if case .ready = try ReadyFile.read(file, name, key) { return nil }
            return size
        }
        guard let damaged, let size = damaged else { return false }

        // What is no claim beside the READY record must not become one without it.
        let generation = try store.readyGeneration(name, in: directory) ?? 0
        let hasClaim = try store.standingClaim(name, besideReady: generation, in: directory) != nil
        let kept = try store.damagedDirectory()
        let target = Layout.damagedRecord(name, at: WallClock.microseconds)
        try held.begin()
        try attempt("set aside", path) { () throws(Errno) in
            if !hasClaim { try directory.unlink(name.pending) }
            try directory.rename(name.ready, to: target, in: kept)
        }
        held.block.counts.ready -= 1
        held.block.counts.bytes -= size
        held.commit()
        let keptPath = "\(store.path)/damaged/\(String(decoding: target.bytes, as: UTF8.self))"
        configuration.onDamage?(key, keptPath)
        return true
    }
}

extension OpenStore {
    /// The directory that keeps damaged records, made if need be.
    fileprivate func damagedDirectory() throws(StoreError) -> Directory {
        try makeDirectory(Layout.damaged, in: root)
        return try attempt("open", file(Layout.damaged, in: nil)) { () throws(Errno) in
            try root.openDirectory(Layout.damaged)
        }
    }
}
