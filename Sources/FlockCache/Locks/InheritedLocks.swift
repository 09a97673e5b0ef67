internal import SystemCalls

/// The locks of `FLOCK_CACHE_HELD`: what the processes hold that this one is a descendant of, so that a wait that
/// could never end is refused throughout a tree of processes.
///
/// Entries are separated by spaces. That of a lock is `lock/SESSION/DEVICE/INODE/MODE/KEY`: the session in hexadecimal,
/// the numbers of the store's directory, `x` for exclusive, `s` for shared, else the number of a slot, and the key
/// percent-encoded. An entry counts only while its session lives and its lock is held. Those of leases and claims are
/// in `Inherited`.
package enum InheritedLocks {
    private static let lockWord = Array("lock".utf8)
    private static let space = UInt8(ascii: " ")
    private static let slash = UInt8(ascii: "/")

    struct Entry {
        let session: UInt64
        let store: StoreIdentity
        let slot: Int
        let name: LockName
        /// `x`, `s`, or a slot's number.
        fileprivate let mode: [UInt8]

        /// nil for another kind of entry, and for nonsense.
        init?(_ text: ArraySlice<UInt8>) {
            let parts = text.split(separator: slash)
            guard parts.count == 6, parts[0] == lockWord[...],
                let session = sessionNumber(parts[1]),
                let device = decimal(parts[2]), let inode = decimal(parts[3]),
                let slot = Self.isWithoutSlots(parts[4]) ? 0 : decimal(parts[4]),
                slot < Limits.slots,
                let key = PercentCode.decode(parts[5]), let name = try? LockName(Store.Key(key))
            else { return nil }
            self.session = session
            store = StoreIdentity(device: device, inode: inode)
            self.slot = Int(slot)
            self.name = name
            mode = Array(parts[4])
        }

        /// Whether the lock is held now, and by that session, as far as can be told.
        func isHeld(in store: OpenStore) throws(StoreError) -> Bool {
            try attempt("ask for the locks of", store.path) { () throws(Errno) in
                let locks = try store.root.openDirectory(Layout.locks)
                guard try SessionLock.isAlive(session, in: locks) else { return false }
                return try OpenStore.isLocked(name, slot: slot, in: locks)
            }
        }

        /// Whether who holds the lock so has all that a mode would give.
        fileprivate func covers(_ wanted: HeldLock.Mode) -> Bool {
            switch wanted {
            case .exclusive: mode.elementsEqual("x".utf8)
            case .shared: mode.elementsEqual("x".utf8) || mode.elementsEqual("s".utf8)
            // The exclusive lock is the first slot.
            case .slots(let count): !mode.elementsEqual("s".utf8) && slot < count
            }
        }

        private static func isWithoutSlots(_ mode: ArraySlice<UInt8>) -> Bool {
            mode.elementsEqual("x".utf8) || mode.elementsEqual("s".utf8)
        }
    }

    static func sessionNumber(_ digits: ArraySlice<UInt8>) -> UInt64? {
        unsafe Array(digits).withUnsafeBufferPointer { unsafe hexadecimalNumber($0) }
    }

    /// The locks of a store in the variable's value.
    static func entries(in text: [UInt8], of store: StoreIdentity) -> [Entry] {
        text.split(separator: space).compactMap { Entry($0) }.filter { $0.store == store }
    }

    /// What the variable is for a COMMAND that runs holding locks of a session.
    package static func adding(
        _ lock: borrowing HeldLock, of session: Session, to text: [UInt8]?
    ) throws(StoreError) -> [UInt8] {
        let id = hexadecimal(try session.id(), digits: 16)
        return adding(lock.held.entries(of: id), to: text)
    }

    static func adding(_ entries: [[UInt8]], to text: [UInt8]?) -> [UInt8] {
        Array(((text.map { [$0] } ?? []) + entries).joined(separator: [space]))
    }

    private static let value: [UInt8]? = {
        let start = Array("FLOCK_CACHE_HELD=".utf8)
        return Process.environment.last { $0.starts(with: start) }.map {
            Array($0.dropFirst(start.count))
        }
    }()

    static var areAny: Bool { value != nil }

    /// Refuses a wait for a key that goes downwards from what an ancestor holds, or for that itself.
    static func check(
        _ key: Store.Key, in store: StoreIdentity, _ session: Session
    ) throws(StoreError) {
        guard let value else { return }
        for entry in entries(in: value, of: store) where !entry.name.key.precedes(key) {
            let opened = try session.forWriting()
            if try entry.isHeld(in: opened) {
                throw .wouldGoDown(
                    key, holding: entry.name.key,
                    of: opened.lockHolder(of: entry.name, slot: entry.slot))
            }
        }
    }
}

/// A lock that an ancestor of this process holds.
package struct InheritedLock: Sendable {
    package let key: Store.Key
    /// Which slot, of a lock with slots.
    package let slot: Int?
}

extension Session {
    /// Those of the locks that an ancestor holds now, in that mode or a stronger one, by the value of
    /// `FLOCK_CACHE_HELD`.
    package func inheritedLocks(
        of keys: [Store.Key], _ mode: HeldLock.Mode, under held: [UInt8]
    ) throws(StoreError) -> [InheritedLock] {
        let names = try LockName.inOrder(keys)
        try mode.check(names)
        let store = try forWriting()
        let entries = InheritedLocks.entries(in: held, of: store.files.identity)
        var locks: [InheritedLock] = []
        for name in names {
            for entry in entries where entry.name.hash == name.hash && entry.covers(mode) {
                guard try entry.isHeld(in: store) else { continue }
                let hasSlots = if case .slots = mode { true } else { false }
                locks.append(InheritedLock(key: name.key, slot: hasSlots ? entry.slot : nil))
                break
            }
        }
        return locks
    }

    /// Whether the process that is noted as a lock's holder has ended, although the lock is held: it is about to be
    /// free, or its descriptors were left to another process.
    ///
    /// So it is for a moment after a COMMAND that was executed in place of `lock -F`, whose guardian ends after it.
    package func hasHolderEnded(of key: Store.Key) throws(StoreError) -> Bool {
        let (store, name) = (try forWriting(), try LockName(key))
        guard let note = store.board.forWaking()?.note(in: name.slot(0)), note.hash == name.hash,
            note.processID != 0, try store.place().processNamespace == note.processNamespace
        else { return false }
        return !Process.exists(note.processID)
    }
}

extension HeldKeys {
    /// The entries of the variable for these locks, those of the greatest keys at least.
    ///
    /// Whether a wait is refused depends on the greatest alone; and a variable has room for 128 KiB, where a
    /// key may take 12.
    fileprivate func entries(of session: [UInt8]) -> [[UInt8]] {
        guard let store else { return [] }
        var entries: [[UInt8]] = []
        var room = 8192
        for lock in locks.reversed() {
            let parts: [[UInt8]] = [
                Array("lock".utf8), session, Array(String(store.device).utf8),
                Array(String(store.inode).utf8), lock.modeText,
                PercentCode.encode(lock.name.key.bytes),
            ]
            let entry = Array(parts.joined(separator: [UInt8(ascii: "/")]))
            room -= entry.count
            if room < 0 && !entries.isEmpty { break }
            entries.append(entry)
        }
        return entries.reversed()
    }
}
