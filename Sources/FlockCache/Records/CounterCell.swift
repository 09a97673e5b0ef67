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

    static let byteCount = checkedCount + 9
    /// `number: ` a sign and 19 digits, `generation: ` 16 digits, `counted: ` 16 digits, a line's end each, and
    /// `check: `, which the check covers too.
    private static let checkedCount = 8 + 20 + 1 + 12 + 16 + 1 + 9 + 16 + 1 + 7

    /// The number as the value that readers get.
    var value: [UInt8] { Array(String(number).utf8) }

    /// The text of the cell, in a record whose claim section has that checksum.
    func text(behind claimSection: Checksum) -> [UInt8] {
        var text = [UInt8]()
        text.reserveCapacity(Self.byteCount)
        text.append(contentsOf: "number: ".utf8)
        text.append(UInt8(ascii: number < 0 ? "-" : "+"))
        appendDecimal(number.magnitude, to: &text, width: 19)
        text.append(contentsOf: "\ngeneration: ".utf8)
        appendDecimal(generation, to: &text, width: 16)
        text.append(contentsOf: "\ncounted: ".utf8)
        // Four digits more than a clock of these centuries needs.
        appendDecimal(min(UInt64(clamping: counted), 9_999_999_999_999_999), to: &text, width: 16)
        text.append(contentsOf: "\ncheck: ".utf8)
        var checksum = claimSection
        unsafe text.withUnsafeBytes { unsafe checksum.update($0) }
        text.append(contentsOf: hexadecimal(UInt64(checksum.value), digits: 8))
        text.append(UInt8(ascii: "\n"))
        return text
    }

    init(number: Int64, generation: Store.Generation, counted: Int64) {
        self.number = number
        self.generation = generation
        self.counted = counted
    }

    /// What the bytes of a whole cell say; nil for any others.
    init?(_ bytes: UnsafeRawBufferPointer, behind claimSection: Checksum) {
        guard bytes.count == Self.byteCount else { return nil }
        var lines = unsafe RecordLines(bytes)
        guard let number = unsafe lines.next(named: "number").flatMap(signedNumber),
            let generation = unsafe lines.next(named: "generation").flatMap(decimal),
            generation <= Limits.generation,
            let counted = unsafe lines.next(named: "counted").flatMap(decimal),
            let check = unsafe lines.next(named: "check").flatMap(checkNumber),
            unsafe lines.offset == Self.byteCount
        else { return nil }
        var checksum = claimSection
        unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[..<Self.checkedCount]))
        guard checksum.value == check else { return nil }
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
