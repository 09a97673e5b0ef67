internal import SystemCalls

/// The 32 bytes before a record in a segment, little-endian.
///
///      0  u32  bytes of the record    4  u32  check    8  u32  check of the record before    12  u32  0
///     16  u64  number    24  i64  time, in microseconds since 1970
///
/// The check is CRC-32C, which goes on from the check of the record before (of the first one: from the segment's
/// salt), over these bytes without the check itself, and over the record. So each check is one over all records before
/// it: a record that a killed process left behind the end, and that the end has passed since, fits nowhere.
struct JournalFrame: Equatable, Sendable {
    var count: Int
    var previous: UInt32
    var number: UInt64
    /// Microseconds since 1970.
    var time: Int64
    /// As read, or as `write` is told.
    var check: UInt32 = 0

    static let byteCount = 32

    /// Bytes that a record takes in a segment.
    static func size(of count: Int) -> Int { byteCount + count }

    init(count: Int, previous: UInt32, number: UInt64, time: Int64) {
        self.count = count
        self.previous = previous
        self.number = number
        self.time = time
    }

    /// nil for bytes that no frame begins with.
    ///
    /// Whether the record is whole only its check tells.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.byteCount else { return nil }
        func word(_ offset: Int) -> UInt64 {
            unsafe UInt64(
                littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        let count = Int(word(0) & 0xffff_ffff)
        guard count <= Limits.record, word(8) >> 32 == 0 else { return nil }
        self.count = count
        check = UInt32(word(0) >> 32)
        previous = UInt32(word(8))
        number = word(16)
        time = Int64(bitPattern: word(24))
    }

    /// Writes the frame with its `check`.
    func write(to bytes: UnsafeMutableRawBufferPointer) {
        func store(_ value: UInt64, at offset: Int) {
            unsafe bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
        }
        store(UInt64(count) | UInt64(check) << 32, at: 0)
        store(UInt64(previous), at: 8)
        store(number, at: 16)
        store(UInt64(bitPattern: time), at: 24)
    }

    /// The check as far as these bytes make it; it goes on over the record.
    var checksum: Checksum {
        var checksum = Checksum(from: previous)
        unsafe withUnsafeTemporaryAllocation(byteCount: Self.byteCount, alignment: 8) { bytes in
            unsafe write(to: bytes)
            let bytes = UnsafeRawBufferPointer(bytes)
            unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[..<4]))
            unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[8...]))
        }
        return checksum
    }
}
