internal import SystemCalls

/// What is counted of a shard: 64 bytes of `locks/shards`, little-endian, written only by whoever has
/// the shard's mutex.
///
///     0  u32  the process that is changing the shard, 0 when none is
///     4  u32  CRC-32C of the 60 other bytes
///     8  u64  highest generation ever given
///    16  u64  PENDING   24  u64  READY   40  u64  bytes of READY records
///    32  u32  temporary files   36  u32  the mark of the directory that was counted
///    48  16 bytes  boot id
struct ShardBlock: Equatable, Sendable {
    /// Not 0 from before a change until after it.
    ///
    /// A killed process leaves it, and the next to take the mutex counts anew.
    var changer: Int32 = 0
    /// A recount never lowers it, so that generations rise for ever.
    var highest: Store.Generation = 0
    var counts = ShardCounts()
    /// Of the directory as it was when the counts were its own.
    var mark = DirectoryMark.unknown
    var boot = BootID.none

    static let byteCount = 64
    /// More than any disk holds, and the sum of all shards fits.
    static let mostCount: UInt64 = 1 << 54

    init() {}

    /// nil for bytes whose check fails: never written, damaged, or read while being written.
    init?(_ bytes: UnsafeRawBufferPointer) {
        func word(_ offset: Int) -> UInt64 {
            unsafe UInt64(
                littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        let first = word(0)
        guard unsafe UInt32(first >> 32) == Self.check(bytes) else { return nil }
        changer = Int32(truncatingIfNeeded: first)
        highest = word(8)
        // Nothing higher was written by this program; counting on from there would overflow, and no
        // reader takes a generation beyond.
        let most = max(max(word(16), word(24)), word(40))
        guard highest <= Limits.generation, most <= Self.mostCount else { return nil }
        counts.pending = Int(word(16))
        counts.ready = Int(word(24))
        counts.temporaries = Int(word(32) & 0xffff_ffff)
        mark = DirectoryMark(number: UInt32(word(32) >> 32))
        counts.add(bytes: Int(word(40)))
        boot = BootID(high: word(48), low: word(56))
    }

    func write(to bytes: UnsafeMutableRawBufferPointer) {
        func store(_ value: UInt64, at offset: Int) {
            unsafe bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
        }
        store(UInt64(UInt32(bitPattern: changer)), at: 0)
        store(highest, at: 8)
        store(UInt64(clamping: counts.pending), at: 16)
        store(UInt64(clamping: counts.ready), at: 24)
        store(UInt64(UInt32(clamping: counts.temporaries)) | UInt64(mark.number) << 32, at: 32)
        store(UInt64(clamping: counts.bytes), at: 40)
        store(boot.high, at: 48)
        store(boot.low, at: 56)
        let check = unsafe Self.check(UnsafeRawBufferPointer(bytes))
        unsafe bytes.storeBytes(of: check.littleEndian, toByteOffset: 4, as: UInt32.self)
    }

    private static func check(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var checksum = Checksum()
        unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[0..<4]))
        unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[8..<64]))
        return checksum.value
    }
}

/// How many files of each kind a shard has.
struct ShardCounts: Equatable, Sendable {
    /// Those that count: a `.pending` beside a READY record of no lower generation is debris.
    var pending = 0
    var ready = 0
    var temporaries = 0
    /// Sizes of the READY records' files; the greatest number where the sum is beyond it.
    ///
    /// Sparse files may have any size.
    private(set) var bytes = 0

    init(pending: Int = 0, ready: Int = 0, temporaries: Int = 0, bytes: Int = 0) {
        (self.pending, self.ready, self.temporaries) = (pending, ready, temporaries)
        self.bytes = bytes
    }

    /// Whether the sum of the sizes is known to be right.
    var isSumKnown: Bool { bytes >= 0 && UInt64(bytes) <= ShardBlock.mostCount }

    mutating func add(bytes more: Int) { bytes = clampedSum(bytes, more) }
    mutating func subtract(bytes less: Int) { bytes = clampedDifference(bytes, less) }

    mutating func add(_ other: ShardCounts) {
        pending = clampedSum(pending, other.pending)
        ready = clampedSum(ready, other.ready)
        temporaries = clampedSum(temporaries, other.temporaries)
        bytes = clampedSum(bytes, other.bytes)
    }
}

/// What tells a shard's directory from the same with other names in it: whoever adds or removes a file beside
/// this program changes it.
///
/// CRC-32C of the directory's inode and of the time at which it was last changed, which nobody can set. What
/// comes and goes within one tick of the kernel's clock, 10 ms at most, may go unseen.
struct DirectoryMark: Equatable, Sendable {
    let number: UInt32

    /// The counts are not known to be those of the directory.
    static let unknown = DirectoryMark(number: 0)
    /// There was no directory.
    static let absent = DirectoryMark(number: 1)

    init(number: UInt32) { self.number = number }

    init(_ status: FileStatus) {
        var checksum = Checksum()
        unsafe withUnsafeBytes(
            of: (status.inode.littleEndian, UInt64(bitPattern: status.changed).littleEndian)
        ) { unsafe checksum.update($0) }
        number = max(2, checksum.value)
    }
}
