internal import SystemCalls

/// Who holds a lock, as it is noted on the board: for messages, never for decisions.
///
/// 16 words of 64 bits; a check over the others in the first, because nothing keeps two holders of keys
/// that share a slot from writing at once.
struct LockNote: Sendable {
    /// In the slot, behind the word, the count and the time of those who wait.
    static let offset = 16
    private(set) var words: InlineArray<16, UInt64>

    /// What the program is called that holds the lock, and where it is: the same for all its locks.
    struct Program: Sendable {
        fileprivate let process: UInt64
        fileprivate let command: (UInt64, UInt64)

        init(id: Int32, processNamespace: UInt64, command: [UInt8]) {
            process =
                UInt64(UInt32(bitPattern: id)) | (processNamespace & 0xffff_ffff) << 32
            self.command = (word(of: command, 0), word(of: command, 1))
        }
    }

    private static let commandStart = 14
    private static let keyStart = 5
    /// A key that is longer is cut.
    static let longestKey = 72

    init(_ name: LockName, _ kind: LockKind, _ program: Program, since: BootTime) {
        words = InlineArray(repeating: 0)
        words[1] = name.hash
        words[2] = UInt64(bitPattern: since.nanoseconds)
        words[3] = program.process
        words[4] = UInt64(name.key.bytes.count) | kind.number << 32
        var span = words.mutableSpan
        unsafe span.withUnsafeMutableBytes { words in
            unsafe name.key.bytes.withUnsafeBytes { key in
                let part = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: words[(8 * Self.keyStart)...])
                unsafe part.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: key.prefix(Self.longestKey)))
            }
        }
        words[Self.commandStart] = program.command.0
        words[Self.commandStart + 1] = program.command.1
        words[0] = Self.check(words)
    }

    /// Without a holder: one of several who share the lock, and the others are not known.
    mutating func forgetHolder() {
        words[3] = 0
        rename(to: [])
    }

    mutating func rename(to command: [UInt8]) {
        words[Self.commandStart] = word(of: command, 0)
        words[Self.commandStart + 1] = word(of: command, 1)
        words[0] = Self.check(words)
    }

    /// nil where nothing stands, or half of two.
    init?(_ words: InlineArray<16, UInt64>) {
        // No clock reaches that time; computing with it would overflow.
        guard words[0] != 0, words[0] == Self.check(words), words[2] < 1 << 62 else { return nil }
        self.words = words
    }

    /// The same in a file of the board, of which these are the bytes.
    init?(_ bytes: [UInt8], slot: Int) {
        self.init(bytes, at: BoardLayout.slot(slot) + Self.offset)
    }

    /// The lowest byte of each word first.
    var bytes: [UInt8] {
        (0..<128).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8)) }
    }

    init?(_ bytes: [UInt8], at start: Int) {
        guard start + 128 <= bytes.count else { return nil }
        var words = InlineArray<16, UInt64>(repeating: 0)
        unsafe bytes.withUnsafeBytes { bytes in
            for index in 0..<16 {
                words[index] = unsafe bytes.loadUnaligned(
                    fromByteOffset: start + 8 * index, as: UInt64.self)
            }
        }
        self.init(words)
    }

    /// Differs from that of every other note, but by chance.
    var check: UInt64 { words[0] }
    var hash: UInt64 { words[1] }
    var since: BootTime { BootTime(nanoseconds: Int64(bitPattern: words[2])) }
    /// 0 where it is not known any more.
    var processID: Int32 { Int32(truncatingIfNeeded: words[3]) }
    var processNamespace: UInt64 { words[3] >> 32 }
    var kind: LockKind { LockKind(words[4] >> 32) }

    /// The key; nil where it is too long to stand there.
    var key: Store.Key? {
        let count = Int(words[4] & 0xffff_ffff)
        return count <= Self.longestKey ? Store.Key(text(Self.keyStart, 9, count)) : nil
    }

    /// As much of the key as stands there.
    var keyStart: Store.Key { Store.Key(text(Self.keyStart, 9, Self.longestKey)) }

    /// What the program is called; empty where that is not known.
    var command: [UInt8] { text(Self.commandStart, 2, 16).filter { $0 != 0 } }

    private func text(_ start: Int, _ count: Int, _ limit: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for index in start..<start + count {
            for shift in stride(from: UInt64(0), to: 64, by: 8) where bytes.count < limit {
                bytes.append(UInt8(truncatingIfNeeded: words[index] >> shift))
            }
        }
        return bytes
    }

    /// FNV-1a 64 word by word; never 0.
    private static func check(_ words: InlineArray<16, UInt64>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in 1..<16 { hash = (hash ^ words[index]) &* 0x100_0000_01b3 }
        return hash | 1
    }
}

/// How a lock is held.
package enum LockKind: Equatable, Sendable {
    case exclusive, shared
    case slot(Int)

    fileprivate var number: UInt64 {
        switch self {
        case .exclusive: 0
        case .shared: 1
        case .slot(let index): UInt64(index) + 2
        }
    }

    fileprivate init(_ number: UInt64) {
        switch number {
        case 0: self = .exclusive
        case 1: self = .shared
        default: self = .slot(Int(number - 2))
        }
    }
}

/// The bytes of a text from 8 × index on as a word, the first lowest; zeros behind its end.
private func word(of text: [UInt8], _ index: Int) -> UInt64 {
    var word: UInt64 = 0
    let start = index * 8
    guard start < text.count else { return 0 }
    for position in start..<min(start + 8, text.count) {
        word |= UInt64(text[position]) << UInt64((position - start) * 8)
    }
    return word
}
