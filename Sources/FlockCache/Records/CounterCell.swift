internal import SystemCalls

/// What one cell of a counter says: its number, and since when.
///
/// 100 bytes of text of fixed width. The check covers the record's claim section first, so that a cell counts
/// in its own record alone.
struct CounterCell: Equatable, Sendable {
    let number: Int64
    /// Of the increment that wrote it.
    let generation: Store.Generation
    /// When that was: wall clock, microseconds since 1970.
    let counted: Int64

    /// A cell in which all digits are 0.
    private static let blank = Array(
        """
        number: +0000000000000000000
        generation: 0000000000000000
        counted: 0000000000000000
        check: 00000000

        """.utf8)

    static let byteCount = 100
    private static let sign = 8
    private static let magnitude = 9..<28
    private static let generationDigits = 41..<57
    private static let countedDigits = 67..<83
    /// The check is of all before it.
    private static let check = 91..<99

    /// The number as the value that readers get.
    var value: [UInt8] { Array(String(number).utf8) }

    /// The text of the cell, in a record whose claim section has that checksum.
    func text(behind claimSection: Checksum) -> [UInt8] {
        var text = Self.blank
        if number < 0 { text[Self.sign] = UInt8(ascii: "-") }
        Self.write(number.magnitude, to: &text, Self.magnitude)
        Self.write(generation, to: &text, Self.generationDigits)
        // Four digits more than a clock of these centuries needs.
        Self.write(
            min(UInt64(clamping: counted), 9_999_999_999_999_999), to: &text, Self.countedDigits)
        var checksum = claimSection
        unsafe text.withUnsafeBytes { bytes in
            unsafe checksum.update(
                UnsafeRawBufferPointer(rebasing: bytes[..<Self.check.lowerBound]))
        }
        text.replaceSubrange(Self.check, with: hexadecimal(UInt64(checksum.value), digits: 8))
        return text
    }

    /// Writes a number's last decimal digits over those that are there.
    private static func write(_ number: UInt64, to text: inout [UInt8], _ digits: Range<Int>) {
        var rest = number
        for index in digits.reversed() where rest > 0 {
            text[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    init(number: Int64, generation: Store.Generation, counted: Int64) {
        self.number = number
        self.generation = generation
        self.counted = counted
    }

    /// What the bytes of a whole cell say; nil for any others.
    ///
    /// The check vouches for the names of the lines.
    init?(_ bytes: UnsafeRawBufferPointer, behind claimSection: Checksum) {
        guard bytes.count == Self.byteCount else { return nil }
        func digits(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> {
            unsafe UnsafeRawBufferPointer(rebasing: bytes[range]).assumingMemoryBound(
                to: UInt8.self)
        }
        var checksum = claimSection
        unsafe checksum.update(
            UnsafeRawBufferPointer(rebasing: bytes[..<Self.check.lowerBound]))
        guard let check = unsafe checkNumber(digits(Self.check)), check == checksum.value,
            unsafe bytes[Self.check.upperBound] == UInt8(ascii: "\n"),
            let number = unsafe signedNumber(digits(Self.sign..<Self.magnitude.upperBound)),
            let generation = unsafe decimal(digits(Self.generationDigits)),
            generation <= Limits.generation,
            let counted = unsafe decimal(digits(Self.countedDigits))
        else { return nil }
        self.init(number: number, generation: generation, counted: Int64(clamping: counted))
    }
}

/// The number that a sign and decimal digits make.
func signedNumber(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
    guard let sign = unsafe text.first,
        let magnitude = unsafe decimal(text.dropFirst())
    else { return nil }
    switch sign {
    case UInt8(ascii: "+"): return Int64(exactly: magnitude)
    case UInt8(ascii: "-"):
        // Of the lowest number there is no positive one.
        return magnitude == Int64.min.magnitude ? .min : Int64(exactly: magnitude).map { -$0 }
    default: return nil
    }
}
