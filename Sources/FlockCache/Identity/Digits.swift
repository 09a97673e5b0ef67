/// The number that octal digits make.
func octal(_ digits: UnsafeBufferPointer<UInt8>) -> UInt32? {
    guard !digits.isEmpty, digits.count <= 8 else { return nil }
    var value: UInt32 = 0
    // Not over the elements: the formatter takes the two words before them for one.
    for index in digits.indices {
        let byte = unsafe digits[index]
        guard UInt8(ascii: "0")...UInt8(ascii: "7") ~= byte else { return nil }
        value = value << 3 | UInt32(byte - UInt8(ascii: "0"))
    }
    return value
}

/// The number that decimal digits make; nil for anything else, and beyond 64 bits.
func decimal(_ digits: some Collection<UInt8>) -> UInt64? {
    guard !digits.isEmpty else { return nil }
    var value: UInt64 = 0
    for byte in digits {
        guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
        let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, overflowed) = scaled.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
        if overflow || overflowed { return nil }
        value = sum
    }
    return value
}

/// Appends the decimal digits of a number.
func appendDecimal(_ value: UInt64, to bytes: inout [UInt8], width: Int = 1) {
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
        var rest = value
        var start = 20
        repeat {
            start -= 1
            unsafe digits[start] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        } while rest > 0 || 20 - start < width
        unsafe bytes.append(contentsOf: digits[start...])
    }
}

/// Appends the lower-case hexadecimal digits of a number.
func appendHexadecimal(_ value: UInt64, digits: Int, to bytes: inout [UInt8]) {
    var shift = digits * 4
    while shift > 0 {
        shift -= 4
        let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
        bytes.append(digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10))
    }
}

/// The lower-case hexadecimal digits of a number.
func hexadecimal(_ value: UInt64, digits: Int) -> [UInt8] {
    var text = [UInt8](repeating: UInt8(ascii: "0"), count: digits)
    var rest = value
    for index in stride(from: digits - 1, through: 0, by: -1) {
        let digit = UInt8(rest & 15)
        text[index] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
        rest >>= 4
    }
    return text
}

/// The value of a lower-case hexadecimal digit.
///
/// Upper case is no digit here: then every changed bit of a checksum's text is seen.
@inline(__always)
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    default: nil
    }
}

/// The number that up to 16 lower-case hexadecimal digits make; nil for anything else.
func hexadecimalNumber(_ digits: UnsafeBufferPointer<UInt8>) -> UInt64? {
    guard digits.count <= 16 else { return nil }
    var value: UInt64 = 0
    for index in digits.indices {
        let byte = unsafe digits[index]
        guard let digit = hexadecimalDigit(byte) else { return nil }
        value = value << 4 | UInt64(digit)
    }
    return value
}
