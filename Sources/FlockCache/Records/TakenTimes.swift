internal import SystemCalls

/// Until when each slot of a lease is taken at least, as a file beside that of the lease says it: `.taken-HASH`.
///
///     0  8 bytes  `taken 1` and a newline       8  u64  inode of the lease's file      16  16 bytes  boot id
///    32  8 bytes for each slot: milliseconds of the boot clock of the first time namespace in the upper 48 bits,
///        a check in the lower 16; where that fails, as in zeros, nothing is known of the slot
///
/// Little-endian. What is known is never too late: whoever ends a slot sooner takes away what is known of it first.
struct TakenTimes {
    /// What the file begins with; of another file, as after copying a store, and of another boot it says nothing.
    let header: [UInt8]
    private var words: [UInt64]

    static let headerCount = 32
    static let byteCount = headerCount + 8 * Limits.slots
    private static let title = Array("taken 1\n".utf8)

    /// Where nothing is known.
    init(ofFile inode: UInt64, _ boot: BootID) {
        var header = Self.title
        for word in [inode, boot.high, boot.low] {
            Self.append(word, to: &header)
        }
        self.header = header
        words = [UInt64](repeating: 0, count: Limits.slots)
    }

    static func offset(of slot: Int) -> Int { headerCount + 8 * slot }

    /// Takes what a file says, if it is of the same lease's file and boot; otherwise false.
    mutating func read(_ bytes: [UInt8]) -> Bool {
        guard bytes.count == Self.byteCount, bytes.starts(with: header) else { return false }
        unsafe bytes.withUnsafeBytes { bytes in
            for slot in words.indices {
                words[slot] = unsafe UInt64(
                    littleEndian: bytes.loadUnaligned(
                        fromByteOffset: Self.offset(of: slot), as: UInt64.self))
            }
        }
        return true
    }

    /// Until when a slot is taken at least, in microseconds; nil where that is not known.
    subscript(slot: Int) -> Int64? {
        let milliseconds = words[slot] >> 16
        guard milliseconds > 0, words[slot] == Self.word(milliseconds, slot) else { return nil }
        return Int64(milliseconds) * 1000
    }

    /// Says until when a slot is taken at least, rounded down; false where that was known.
    mutating func learn(_ slot: Int, until microseconds: Int64) -> Bool {
        let word = Self.word(UInt64(clamping: microseconds / 1000) & (1 << 48 - 1), slot)
        defer { words[slot] = word }
        return words[slot] != word
    }

    mutating func forget(_ slot: Int) { words[slot] = 0 }

    /// What the file has of some slots.
    func bytes(of slots: Range<Int>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 * slots.count)
        for slot in slots { Self.append(words[slot], to: &bytes) }
        return bytes
    }

    private static func word(_ milliseconds: UInt64, _ slot: Int) -> UInt64 {
        let mixed = (milliseconds ^ UInt64(slot) << 48) &* 0x9e37_79b9_7f4a_7c15
        return milliseconds << 16 | mixed >> 48
    }

    private static func append(_ word: UInt64, to bytes: inout [UInt8]) {
        unsafe withUnsafeBytes(of: word.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }
}
