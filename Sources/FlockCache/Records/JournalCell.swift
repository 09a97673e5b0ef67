internal import SystemCalls

/// One of the two cells of a journal's segment: how far the segment is written, and how far it may be read.
///
/// The cells are written in turn, each in its own sector: a write that ends half-way leaves the other one. The valid
/// one with the higher sequence counts. 96 bytes, little-endian:
///
///      0  u32  CRC-32C of the 92 bytes that follow    4  u32  bit 0: the segment is closed
///      8  u64  sequence
///     16  u64  committed records   24  u64  where the last of them ends, from the start of the file
///     32  u64  written records     40  u64  where the last of them ends
///     48  u32  check of the last committed record   52  u32  of the last written record
///     56  i64  time of the last written record, in microseconds since 1970
///     64  u64  up to where the file has blocks
///     72  u64  inode of the file
///     80  16 bytes  boot id
struct JournalCell: Equatable, Sendable {
    /// A place behind some records of a segment.
    struct End: Equatable, Sendable {
        /// How many records of the segment lie before it.
        var records: UInt64 = 0
        var offset = JournalCell.firstFrame
        /// Of the last record before it; the segment's salt where there is none.
        var check: UInt32
    }

    var sequence: UInt64 = 0
    /// Nothing is appended to the segment any more, and both ends are final.
    var isClosed = false
    /// The end for readers.
    var committed: End
    /// The end for writers: in a durable store records may lie between the two that are not synchronised yet.
    var written: End
    var time: Int64 = 0
    var allocated = JournalCell.firstFrame
    var inode: UInt64
    var boot: BootID

    static let byteCount = 96
    /// Where the cells begin, and in which order.
    static let offsets = [512, 1024]
    /// Where the first record begins.
    static let firstFrame = 4096
    /// Beyond any segment: a batch of many large records is one segment's.
    private static let mostBytes: UInt64 = 1 << 48

    init(salt: UInt32, inode: UInt64, boot: BootID) {
        committed = End(check: salt)
        written = End(check: salt)
        self.inode = inode
        self.boot = boot
    }

    /// nil for bytes whose check fails: never written, damaged, or read while being written.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.byteCount else { return nil }
        func word(_ offset: Int) -> UInt64 {
            unsafe UInt64(
                littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        guard unsafe UInt32(truncatingIfNeeded: word(0)) == Self.check(bytes) else { return nil }
        let ends = [word(24), word(40), word(64)]
        guard word(8) < 1 << 62, word(16) <= word(32), word(32) < 1 << 61, word(24) <= word(40),
            ends.allSatisfy({ $0 >= UInt64(Self.firstFrame) && $0 <= Self.mostBytes })
        else { return nil }
        isClosed = word(0) >> 32 & 1 == 1
        sequence = word(8)
        committed = End(
            records: word(16), offset: Int(word(24)), check: UInt32(truncatingIfNeeded: word(48)))
        written = End(records: word(32), offset: Int(word(40)), check: UInt32(word(48) >> 32))
        time = Int64(bitPattern: word(56))
        allocated = Int(word(64))
        inode = word(72)
        boot = BootID(high: word(80), low: word(88))
    }

    func write(to bytes: UnsafeMutableRawBufferPointer) {
        func store(_ value: UInt64, at offset: Int) {
            unsafe bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
        }
        store(isClosed ? 1 << 32 : 0, at: 0)
        store(sequence, at: 8)
        store(committed.records, at: 16)
        store(UInt64(committed.offset), at: 24)
        store(written.records, at: 32)
        store(UInt64(written.offset), at: 40)
        store(UInt64(committed.check) | UInt64(written.check) << 32, at: 48)
        store(UInt64(bitPattern: time), at: 56)
        store(UInt64(allocated), at: 64)
        store(inode, at: 72)
        store(boot.high, at: 80)
        store(boot.low, at: 88)
        let check = unsafe Self.check(UnsafeRawBufferPointer(bytes))
        unsafe bytes.storeBytes(of: check.littleEndian, toByteOffset: 0, as: UInt32.self)
    }

    private static func check(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var checksum = Checksum()
        unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[4..<byteCount]))
        return checksum.value
    }

    /// The cell that counts, of the bytes from the first one's offset on, and which of the two it is; nil where
    /// neither is valid.
    static func current(_ bytes: UnsafeRawBufferPointer) -> (cell: JournalCell, index: Int)? {
        var found: (cell: JournalCell, index: Int)?
        for index in offsets.indices {
            let start = offsets[index] - offsets[0]
            guard bytes.count >= start + byteCount,
                let cell = unsafe JournalCell(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<(start + byteCount)]))
            else { continue }
            if let known = found, known.cell.sequence >= cell.sequence { continue }
            found = (cell, index)
        }
        return found
    }
}

/// The first sector of a segment: text, so that `head` tells what the file is.
struct JournalHeader: Equatable, Sendable {
    /// The number of the segment's first record.
    let first: UInt64
    /// What the check of the first record goes on from: no record of a recycled block or of another segment fits.
    let salt: UInt32

    static let byteCount = 512

    init(first: UInt64, salt: UInt32) {
        self.first = first
        self.salt = salt
    }

    /// The lines, spaces, and a newline at the end of the sector.
    var bytes: [UInt8] {
        var text = RecordText()
        text.line("flock-cache-journal", decimal: UInt64(Limits.format), separator: " ")
        text.line("first", decimal: first)
        text.line("salt", hexadecimal(UInt64(salt), digits: 8))
        text.check()
        let rest = Self.byteCount - text.bytes.count - 1
        return text.bytes + [UInt8](repeating: UInt8(ascii: " "), count: rest)
            + [UInt8(ascii: "\n")]
    }

    /// nil where it is not whole.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache-journal", separator: UInt8(ascii: " "))
                .flatMap(decimal) == UInt64(Limits.format),
            let first = unsafe lines.next(named: "first").flatMap(decimal),
            let salt = unsafe lines.next(named: "salt").flatMap(checkNumber),
            unsafe lines.check()
        else { return nil }
        self.init(first: first, salt: salt)
    }
}
