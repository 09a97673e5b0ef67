internal import SystemCalls

/// What the processes hold that this one is a descendant of, of all kinds: `FLOCK_CACHE_HELD`.
///
/// Beside locks (`InheritedLocks`) the variable has `lease/DEVICE/INODE/GENERATION/KEY` for a `lease run` and
/// `claim/SESSION/DEVICE/INODE/GENERATION/KEY` for a `run`. An entry counts only while that generation is the current
/// one of the lease, or the claim is pending and its session lives.
///
/// Waits are kept from running in circles by one order of all that can be waited for: by key, and for one key lock,
/// lease, computation. A process that holds something waits only for what comes after it. What is got without
/// waiting closes no circle, so it is never refused.
package enum Inherited {
    package enum Kind: Int, Sendable {
        case lock, lease, computation

        var text: String {
            switch self {
            case .lock: "lock"
            case .lease: "lease"
            case .computation: "computation"
            }
        }
    }

    struct Entry {
        let kind: Kind
        let key: Store.Key
        let isHeld: (Session) throws(StoreError) -> Bool

        func isBehind(_ other: Kind, _ key: Store.Key) -> Bool {
            self.key == key ? kind.rawValue >= other.rawValue : key.precedes(self.key)
        }
    }

    private static let space = UInt8(ascii: " ")
    private static let slash = UInt8(ascii: "/")

    /// What the variable is for a COMMAND that runs under a lease.
    package static func adding(
        leaseOf key: Store.Key, _ generation: Store.Generation, in session: Session,
        to text: [UInt8]?
    ) throws(StoreError) -> [UInt8] {
        let parts = ["lease"] + (try identity(of: session)) + ["\(generation)"]
        return InheritedLocks.adding([entry(parts, key)], to: text)
    }

    /// What the variable is for a COMMAND that computes a value.
    package static func adding(
        claimOf key: Store.Key, _ generation: Store.Generation, in session: Session,
        to text: [UInt8]?
    ) throws(StoreError) -> [UInt8] {
        let id = String(decoding: hexadecimal(try session.id(), digits: 16), as: UTF8.self)
        let parts = ["claim", id] + (try identity(of: session)) + ["\(generation)"]
        return InheritedLocks.adding([entry(parts, key)], to: text)
    }

    private static func identity(of session: Session) throws(StoreError) -> [String] {
        let identity = try session.forWriting().files.identity
        return ["\(identity.device)", "\(identity.inode)"]
    }

    private static func entry(_ parts: [String], _ key: Store.Key) -> [UInt8] {
        Array(parts.joined(separator: "/").utf8) + [slash] + PercentCode.encode(key.bytes)
    }

    static func entries(in text: [UInt8], of store: StoreIdentity) -> [Entry] {
        let locks = InheritedLocks.entries(in: text, of: store).map { lock in
            Entry(kind: .lock, key: lock.name.key) { (session) throws(StoreError) in
                try lock.isHeld(in: session.forWriting())
            }
        }
        return locks + text.split(separator: space).compactMap { other($0, of: store) }
    }

    /// nil for another kind of entry, for another store's, and for nonsense.
    private static func other(_ text: ArraySlice<UInt8>, of store: StoreIdentity) -> Entry? {
        var parts = text.split(separator: slash)
        guard let word = parts.first else { return nil }
        var holder: UInt64?
        if word.elementsEqual("claim".utf8), parts.count == 6 {
            guard let session = InheritedLocks.sessionNumber(parts.remove(at: 1)) else {
                return nil
            }
            holder = session
        } else if !word.elementsEqual("lease".utf8) {
            return nil
        }
        guard parts.count == 5, let device = decimal(parts[1]), let inode = decimal(parts[2]),
            StoreIdentity(device: device, inode: inode) == store,
            let generation = decimal(parts[3]), let bytes = PercentCode.decode(parts[4]),
            let name = try? EntryName(Store.Key(bytes))
        else { return nil }
        guard let holder else {
            return Entry(kind: .lease, key: name.key) { (session) throws(StoreError) in
                try session.checkLease(name.key, generation)
            }
        }
        return Entry(kind: .computation, key: name.key) { (session) throws(StoreError) in
            try session.isComputed(name, by: holder, generation)
        }
    }
}

extension Session {
    /// Refuses a wait that could never end, because of what the ancestors of this process hold: called when there is
    /// something to wait for.
    ///
    /// - Parameters:
    ///   - holder: who has what is waited for, for messages.
    ///   - held: the value of `FLOCK_CACHE_HELD`.
    ///   - onlyItself: refuses nothing but a wait for what is held itself.
    /// - Throws: `.wouldDeadlock`.
    package func checkWait(
        for kind: Inherited.Kind, _ key: Store.Key, holder: Holder?, under held: [UInt8],
        onlyItself: Bool
    ) throws(StoreError) {
        for entry in Inherited.entries(in: held, of: try forWriting().files.identity) {
            let isItself = entry.kind == kind && entry.key == key
            guard isItself || (!onlyItself && entry.isBehind(kind, key)) else { continue }
            // Two locks are compared where they are asked for, and refused also where they are free.
            if kind == .lock && entry.kind == .lock { continue }
            guard try entry.isHeld(self) else { continue }
            throw isItself
                ? .waitsForItself(kind.text, key, holder)
                : .waitsAgainstOrder(kind.text, key, holding: entry.kind.text, entry.key, holder)
        }
    }

    /// Whether a claim of that session and generation is pending.
    fileprivate func isComputed(
        _ name: EntryName, by holder: UInt64, _ generation: Store.Generation
    ) throws(StoreError) -> Bool {
        let store = try forWriting()
        guard let directory = try store.shardDirectory(name.shard, making: false),
            case .whole(let claim) = try store.files.readPending(name, in: directory),
            claim.generation == generation
        else { return false }
        return try attempt("ask for the sessions of", store.path) { () throws(Errno) in
            try SessionLock.isAlive(holder, in: store.root.openDirectory(Layout.locks))
        }
    }
}
