/// Base64 (RFC 4648), piece by piece.
struct Base64 {
    private var word: UInt32 = 0
    private var count = 0
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    mutating func feed(_ bytes: some Collection<UInt8>, into result: inout [UInt8]) {
        for byte in bytes {
            word = word << 8 | UInt32(byte)
            count += 1
            if count == 3 { emit(4, into: &result) }
        }
    }

    mutating func finish(into result: inout [UInt8]) {
        guard count > 0 else { return }
        let digits = count + 1
        word <<= UInt32(8 * (3 - count))
        emit(digits, into: &result)
        result.append(contentsOf: [UInt8](repeating: UInt8(ascii: "="), count: 4 - digits))
    }

    private mutating func emit(_ digits: Int, into result: inout [UInt8]) {
        for digit in 0..<digits {
            result.append(Self.alphabet[Int(word >> UInt32(18 - 6 * digit) & 63)])
        }
        (word, count) = (0, 0)
    }
}
