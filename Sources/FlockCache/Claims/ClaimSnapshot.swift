internal import SystemCalls

extension OpenStore {
    /// How a key is now; takes no lock.
    func snapshot(of name: EntryName) throws(StoreError) -> KeySnapshot {
        var snapshot = KeySnapshot()
        guard let directory = try shardDirectory(name.shard, making: false) else { return snapshot }
        files.refresh(directory)
        if case .whole(let claim) = try files.readPending(name, in: directory) {
            snapshot.generation = claim.generation
            if case .live = try standing(of: claim) { snapshot.isHeld = true }
        }
        snapshot.ready = try attempt("read", path) { () throws(Errno) in
            try directory.status(of: name.ready)?.inode ?? 0
        }
        return snapshot
    }
}

#if Async
extension Session {
    /// What a task waits for that wants a key's claim or value.
    func claimSubject(_ key: Store.Key) throws(StoreError) -> KeyTickets.Subject {
        let (store, name) = (try forWriting(), try EntryName(key))
        return KeyTickets.Subject(name: name) {
            // What cannot be looked at from here the task sees for itself.
            store.files.seemsElsewhere ? nil : try? store.snapshot(of: name)
        }
    }
}
#endif
