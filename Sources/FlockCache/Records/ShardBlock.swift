internal import SystemCalls

/// What is counted of a shard: 64 bytes of `locks/shards`, little-endian, written only by whoever has
/// the shard's mutex.
///
///     0  u32  the process that is changing the shard, 0 when none is
///     4  u32  CRC-32C of the 60 other bytes
///     8  u64  highest generation ever given
///    16  u64  PENDING   24  u64  READY   32  u64  temporary files   40  u64  bytes of READY records
///    48  16 bytes  boot id
struct ShardBlock: Equatable, Sendable {
    /// Not 0 from before a change until after it.
    ///
    /// A killed process leaves it, and the next to take the mutex counts anew.
    var changer: Int32 = 0
    /// A recount never lowers it, so that generations rise for ever.
    var highest: Store.Generation = 0
    var counts = ShardCounts()
    var boot = BootID.none

    static let byteCount = 64
    /// More than any disk holds, and the sum of all shards fits.
    private static let mostCount: UInt64 = 1 << 54

    init() {}

    /// nil for bytes whose check fails: never written, damaged, or read while being written.
    init?(_ bytes: UnsafeRawBufferPointer) {
        func word(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        let first = word(0)
        guard UInt32(first >> 32) == Self.check(bytes) else { return nil }
        changer = Int32(truncatingIfNeeded: first)
        highest = word(8)
        // Nothing higher was written by this program; counting on from there would overflow, and no
        // reader takes a generation beyond.
        let most = max(max(word(16), word(24)), max(word(32), word(40)))
        guard highest <= ClaimSection.mostGeneration, most <= Self.mostCount else { return nil }
        counts.pending = Int(word(16))
        counts.ready = Int(word(24))
        counts.temporaries = Int(word(32))
        counts.bytes = Int(word(40))
        boot = BootID(high: word(48), low: word(56))
    }

    func write(to bytes: UnsafeMutableRawBufferPointer) {
        func store(_ value: UInt64, at offset: Int) {
            bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
        }
        store(UInt64(UInt32(bitPattern: changer)), at: 0)
        store(highest, at: 8)
        store(UInt64(clamping: counts.pending), at: 16)
        store(UInt64(clamping: counts.ready), at: 24)
        store(UInt64(clamping: counts.temporaries), at: 32)
        store(UInt64(clamping: counts.bytes), at: 40)
        store(boot.high, at: 48)
        store(boot.low, at: 56)
        let check = Self.check(UnsafeRawBufferPointer(bytes))
        bytes.storeBytes(of: check.littleEndian, toByteOffset: 4, as: UInt32.self)
    }

    private static func check(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var checksum = Checksum()
        checksum.update(UnsafeRawBufferPointer(rebasing: bytes[0..<4]))
        checksum.update(UnsafeRawBufferPointer(rebasing: bytes[8..<64]))
        return checksum.value
    }
}

/// How many files of each kind a shard has.
struct ShardCounts: Equatable, Sendable {
    /// Those that count: a `.pending` beside a READY record of no lower generation is debris.
    var pending = 0
    var ready = 0
    var temporaries = 0
    /// Sizes of the READY records' files.
    var bytes = 0

    mutating func add(_ other: ShardCounts) {
        pending += other.pending
        ready += other.ready
        temporaries += other.temporaries
        bytes += other.bytes
    }
}
