internal import SystemCalls

/// `FLOCK_CACHE_HELD`: what the processes hold that this one is a descendant of, so that a wait that could
/// never end is refused throughout a tree of processes.
///
/// Entries parted by spaces. `claim/SESSION` is that of a `run`, and
/// `lock/SESSION/DEVICE/INODE/MODE/KEY` that of a lock: the session in hexadecimal, the numbers of the
/// store's directory, `x` for exclusive, `s` for shared, else the number of a slot, and the key
/// percent-encoded. An entry counts only while its session lives and its lock is held.
package enum InheritedLocks {
    private static let claimWord = Array("claim".utf8)
    private static let lockWord = Array("lock".utf8)
    private static let space = UInt8(ascii: " ")
    private static let slash = UInt8(ascii: "/")

    private struct Entry {
        let session: UInt64
        let store: StoreIdentity
        let slot: Int
        let name: LockName

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
        }

        private static func isWithoutSlots(_ mode: ArraySlice<UInt8>) -> Bool {
            mode.elementsEqual("x".utf8) || mode.elementsEqual("s".utf8)
        }
    }

    private static func sessionNumber(_ digits: ArraySlice<UInt8>) -> UInt64? {
        unsafe Array(digits).withUnsafeBufferPointer { unsafe hexadecimalNumber($0) }
    }

    /// The sessions of those `run` that a process is a part of, from the variable's value.
    package static func claimSessions(in text: [UInt8]) -> [UInt64] {
        var sessions: [UInt64] = []
        for entry in text.split(separator: space) {
            let parts = entry.split(separator: slash)
            if parts.count == 2, parts[0] == claimWord[...],
                let session = sessionNumber(parts[1])
            {
                sessions.append(session)
            }
        }
        return sessions
    }

    /// What the variable is for a COMMAND that runs for a session's claim.
    package static func adding(claimOf session: UInt64, to text: [UInt8]?) -> [UInt8] {
        adding([claimWord + [slash] + hexadecimal(session, digits: 16)], to: text)
    }

    /// What the variable is for a COMMAND that runs holding locks of a session.
    package static func adding(
        _ lock: borrowing HeldLock, of session: Session, to text: [UInt8]?
    ) throws(StoreError) -> [UInt8] {
        let id = hexadecimal(try session.id(), digits: 16)
        return adding(lock.held.entries(of: id), to: text)
    }

    private static func adding(_ entries: [[UInt8]], to text: [UInt8]?) -> [UInt8] {
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
        for text in value.split(separator: space) {
            guard let entry = Entry(text), entry.store == store, !entry.name.key.precedes(key)
            else { continue }
            let opened = try session.forWriting()
            let (session, name) = (entry.session, entry.name)
            let isHeld = try attempt("ask for the locks of", opened.path) { () throws(Errno) in
                let locks = try opened.root.openDirectory(Layout.locks)
                guard try SessionLock.isAlive(session, in: locks) else { return false }
                return try OpenStore.isLocked(name, slot: entry.slot, in: locks)
            }
            if isHeld {
                throw .wouldGoDown(
                    key, holding: name.key, of: opened.lockHolder(of: name, slot: entry.slot))
            }
        }
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
