// Records: every name and every byte on disk, and nothing else knows them. A record is parsed from bytes and
// written to bytes; no file is opened here. docs/reference/file-format.md describes the same for other programs.
//
// A record is complete or provably not: each has a check over all of it. What could break it: bits that changed
// (the check), a write that ended half-way (the length and the check), numbers at their limits (parsed as text
// with bounds; sums are clamped).

internal import SystemCalls

/// The names on disk: the only place that knows them.
///
/// `docs/reference/file-format.md` is their description for other programs.
enum Layout {
    static let marker: FileName = "flock-cache"
    static let board: FileName = "board"
    /// A marker or board being made; such names do not count as content of a directory.
    static let markerPrefix = Array(".flock-cache-".utf8)

    /// Whether a name is one that this program gives to what is being made.
    static func isPrivate(_ name: some RandomAccessCollection<UInt8>) -> Bool {
        name.starts(with: markerPrefix) && name.count == markerPrefix.count + 16
            && name.dropFirst(markerPrefix.count).allSatisfy { hexadecimalDigit($0) != nil }
    }

    static let entries: FileName = "entries"
    static let locks: FileName = "locks"
    static let damaged: FileName = "damaged"
    static let leases: FileName = "leases"
    static let journal: FileName = "journal"

    /// In `locks`: what each shard's change intends, in a store that tells of its changes.
    static let intents: FileName = "intents"

    /// Below the store: the directory of a journal, which has a directory's name in `journal`.
    static func journalPath(_ directory: FileName) -> FileName {
        FileName(Array("journal/".utf8) + Array(directory.bytes))
    }

    /// In a journal's directory: the segment that begins with a record's number, 20 digits.
    static func segment(_ first: UInt64) -> FileName {
        var name = [UInt8]()
        appendDecimal(first, to: &name, width: 20)
        return FileName(name)
    }

    /// The number of a segment's first record; nil for other names.
    static func segmentFirst(of name: UnsafeBufferPointer<UInt8>) -> UInt64? {
        guard name.count == 20, let first = unsafe decimal(name), 1..<(1 << 61) ~= first
        else { return nil }
        return first
    }

    /// In a journal's directory: a segment that is being made, by the process that has the journal's lock.
    static let newSegment: FileName = ".new"

    /// In `locks`: shard mutexes and shard blocks.
    static let shards: FileName = "shards"
    /// In `locks`, of a store that machines share: who holds its locks.
    static let lockHolders: FileName = "holders"
    static let shardsPath: FileName = "locks/shards"

    /// In `locks`: the file with the liveness byte of a session.
    static func sessions(_ index: Int) -> FileName {
        FileName(Array("sessions-".utf8) + hexadecimal(UInt64(index), digits: 2))
    }

    /// In `locks`: a file of the lock table.
    static func lockTable(_ index: Int) -> FileName {
        FileName(twoDigits: UInt8(index))
    }

    /// What such a file and that of a session begin with where a server is asked about their locks.
    static let lockFileLine = Array("flock-cache locks 1\n".utf8)

    static func lockTablePath(_ index: Int) -> FileName {
        FileName(Array("locks/".utf8) + Array(lockTable(index).bytes))
    }

    static let shardCount = 256

    /// In `entries`: the directory of a shard.
    static func shard(_ index: Int) -> FileName {
        FileName(hexadecimal(UInt64(index), digits: 2))
    }

    static func shardPath(_ index: Int) -> FileName {
        FileName(Array("entries/".utf8) + hexadecimal(UInt64(index), digits: 2))
    }

    static func leasePath(_ index: Int) -> FileName {
        FileName(Array("leases/".utf8) + hexadecimal(UInt64(index), digits: 2))
    }

    /// Below the store: a file of a shard of leases.
    static func leasePath(_ index: Int, _ name: FileName) -> FileName {
        FileName(Array(leasePath(index).bytes) + [UInt8(ascii: "/")] + Array(name.bytes))
    }

    /// In a shard of leases: the highest generation of those whose records were removed, and the same being made.
    static let leaseFloor: FileName = ".highest"
    static let newLeaseFloor: FileName = ".highest-new"

    /// In a shard of leases: until when the slots of a lease are taken, see `TakenTimes`.
    ///
    /// Not by the lease's name, to which nothing can be added that no other key's name has.
    static func takenTimes(of name: EntryName) -> FileName {
        FileName(Array(".taken-".utf8) + hexadecimal(name.hash, digits: 16))
    }

    /// In a shard: a record being written, swept when its session is dead.
    static func temporary(session: UInt64, number: Int) -> FileName {
        FileName(
            temporaryPrefix + hexadecimal(session, digits: 16) + [UInt8(ascii: "-")]
                + Array(String(number).utf8))
    }

    /// The session that writes a temporary file; nil for other names, 0 for one of no session.
    static func temporarySession(of name: some Collection<UInt8>) -> UInt64? {
        guard name.starts(with: temporaryPrefix) else { return nil }
        var session: UInt64 = 0
        for byte in name.dropFirst(temporaryPrefix.count).prefix(16) {
            guard let digit = hexadecimalDigit(byte) else { return 0 }
            session = session << 4 | UInt64(digit)
        }
        return session
    }

    private static let temporaryPrefix = Array(".tmp-".utf8)

    /// In `damaged`: where a record that failed its check is kept.
    static func damagedRecord(_ name: EntryName, at microseconds: Int64) -> FileName {
        FileName(name.encoded.prefix(200) + [UInt8(ascii: ".")] + Array(String(microseconds).utf8))
    }

    /// The key of such a record, as much of it as its name has, and when it was set aside; nil for other names.
    static func damagedKey(
        of name: UnsafeBufferPointer<UInt8>
    ) -> (key: Store.Key, time: Int64)? {
        guard let dot = unsafe name.lastIndex(of: UInt8(ascii: ".")), dot > 0,
            let time = unsafe decimal(name[(dot + 1)...]).flatMap(Int64.init(exactly:)),
            let key = unsafe PercentCode.unescape(name[..<dot])
        else { return nil }
        return (Store.Key(key), time)
    }
}
