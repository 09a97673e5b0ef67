internal import SystemCalls

/// The state of a key as a reader finds it, without a lock.
enum Lookup {
    case absent
    case ready(ReadyFile)
    /// READY, and claimed anew by somebody who wanted it fresher.
    case readyAndPending(ReadyFile, ClaimSection)
    case pending(ClaimSection)
    /// A claim that is not whole: being written, or left by a killed process.
    case torn
    /// `NAME` fails its check, as seen without the mutex.
    case damaged
}

extension OpenStore {
    /// Looks a key up: `NAME`, then `NAME.pending`, then `NAME` again.
    ///
    /// Only three misses are "absent": between two looks a finalize can rename the one to the other.
    /// With `maxAge`, a claim beside a READY record that is older is looked for as well.
    ///
    /// - Parameters:
    ///   - looksAgain: false where "absent" only means to look under the mutex.
    ///   - looksForClaim: false where a claim beside no value is found by whoever makes another.
    func lookUp(
        _ name: EntryName, maxAge: Duration? = nil, looksAgain: Bool = true,
        looksForClaim: Bool = true
    ) throws(StoreError) -> Lookup {
        guard let directory = try shardDirectory(name.shard, making: false) else { return .absent }
        files.refresh(directory)
        if let found = try lookAtReady(name, maxAge: maxAge, in: directory) { return found }
        guard looksForClaim else { return .absent }
        switch try files.readPending(name, in: directory) {
        case .torn: return .torn
        case .whole(let claim): return .pending(claim)
        case .none:
            guard looksAgain else { return .absent }
            return try lookAtReady(name, maxAge: maxAge, in: directory) ?? .absent
        }
    }

    private func lookAtReady(
        _ name: EntryName, maxAge: Duration?, in directory: Directory
    ) throws(StoreError) -> Lookup? {
        let reading = try files.withRecord(name.ready, of: name, in: directory) {
            (file) throws(Errno) in try ReadyFile.read(file, name)
        }
        switch reading {
        case nil: return nil
        case .damaged: return .damaged
        case .ready(let ready, let modified):
            guard ready.isOlder(than: maxAge) else {
                recordUse(of: name, modified, in: directory)
                return .ready(ready)
            }
            if let claim = try files.standingClaim(
                name, besideReady: ready.generation, in: directory)
            {
                return .readyAndPending(ready, claim)
            }
            return .ready(ready)
        }
    }

    /// Use is the modification time, renewed when it is older than a minute, so that eviction knows
    /// what is least recently used without a write per read.
    ///
    /// A time in the future is of a clock that was ahead, and is set right: it would keep the value for ever. The
    /// same minute is for file systems whose times are another machine's.
    private func recordUse(of name: EntryName, _ modified: Int64, in directory: Directory) {
        let age = clampedDifference(WallClock.nanoseconds, modified)
        guard !isReadOnly, age > Self.useResolution || age < -Self.useResolution else { return }
        // A hint for eviction: where it cannot be written, the entry only looks older than it is.
        try? directory.touch(name.ready)
    }

    /// Nanoseconds.
    static let useResolution: Int64 = 60_000_000_000
}

/// What reading a key comes to.
package enum GetOutcome: Sendable {
    case absent
    case ready(ReadyFile)
    case pending(Holder)
    /// It was damaged, and has been set aside if that was possible.
    case damaged
}

extension Session {
    /// Reads a key, and sets a damaged record aside.
    package func get(_ key: Store.Key, maxAge: Duration?) throws(StoreError) -> GetOutcome {
        let name = try EntryName(key)
        guard var store = try existing() else { return .absent }
        while true {
            let found = try store.lookUp(name, maxAge: maxAge)
            switch found {
            case .ready(let ready):
                return ready.isOlder(than: maxAge) ? .absent : .ready(ready)
            case .readyAndPending(_, let claim), .pending(let claim):
                let standing = try store.standing(of: claim)
                return .pending(store.holder(of: claim, standing: standing))
            case .torn:
                return .pending(.unknown)
            case .damaged:
                if try setAside(name, in: store) { return .damaged }
            case .absent:
                if store.files.forgetIfRemoved(name.shard), !store.isRemoved { continue }
                guard store.isRemoved else { return .absent }
                // Removed under us, and perhaps made anew.
                forget(store)
                guard let fresh = try existing() else { return .absent }
                store = fresh
            }
        }
    }

    func entry(for key: Store.Key, maxAge: Duration?) throws(StoreError) -> Entry? {
        let outcome = try get(key, maxAge: maxAge)
        guard case .ready(let ready) = outcome else { return nil }
        return try ready.entry()
    }

    /// Sets a damaged record aside if that is possible; false when somebody else has changed the key
    /// since it was read, so that it has to be looked up again.
    private func setAside(
        _ name: EntryName, in store: OpenStore
    ) throws(StoreError) -> Bool {
        guard !store.isReadOnly, try store.shards.file().isWritable,
            let directory = try store.shardDirectory(name.shard, making: false)
        else {
            configuration.onDamage?(name.key, nil)
            return true
        }
        let setAside = { () throws(StoreError) -> String? in
            var held = try HeldShard(store, name.shard)
            return try self.setAsideIfDamaged(name, &held, in: directory)
        }
        guard let kept = try setAside() else { return false }
        configuration.onDamage?(name.key, kept)
        return true
    }
}
