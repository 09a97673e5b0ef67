/// Who holds a lock of a store that several machines share: what the board says of it elsewhere, and on which machine.
///
/// The note of the board (128 bytes), the boot of the machine (16), its name as it is in records (96), and a check over
/// all of that (8), because nothing keeps two machines from writing at once.
struct HolderNote {
    let note: LockNote
    /// Of the machine, whose boot clock the note's time is of.
    let boot: BootID
    /// Percent-encoded; empty where it is not known.
    let host: [UInt8]

    static let byteCount = 248
    /// 32 bytes, percent-encoded.
    private static let longestHost = 96

    init(_ note: LockNote, boot: BootID, host: [UInt8]) {
        self.note = note
        self.boot = boot
        self.host = Array(host.prefix(Self.longestHost))
    }

    var bytes: [UInt8] {
        var bytes = note.bytes
        for word in [boot.high, boot.low] { append(word, to: &bytes) }
        bytes += host
        bytes += [UInt8](repeating: 0, count: Self.longestHost - host.count)
        append(Self.check(bytes[...]), to: &bytes)
        return bytes
    }

    /// nil where nothing stands, or half of two.
    init?(_ bytes: [UInt8]) {
        let end = Self.byteCount - 8
        guard bytes.count == Self.byteCount,
            Self.word(bytes[end...]) == Self.check(bytes[..<end]), let note = LockNote(bytes, at: 0)
        else { return nil }
        self.note = note
        boot = BootID(high: Self.word(bytes[128..<136]), low: Self.word(bytes[136..<144]))
        host = bytes[144..<end].filter { $0 != 0 }
    }

    /// The lowest byte first.
    private static func word(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// FNV-1a 64, byte by byte.
    private static func check(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        PercentCode.hash(of: Array(bytes))
    }
}

private func append(_ word: UInt64, to bytes: inout [UInt8]) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> shift))
    }
}
