internal import SystemCalls
internal import SystemCalls

/// Builds the text of a record: lines `name: value`.
struct RecordText {
    private(set) var bytes: [UInt8] = []

    init() { bytes.reserveCapacity(ClaimSection.mostBytes) }

    mutating func line(_ name: StaticString, _ value: some Collection<UInt8>) {
        begin(name, ": ")
        bytes.append(contentsOf: value)
        end()
    }

    mutating func line(
        _ name: StaticString, decimal value: UInt64, separator: StaticString = ": ", width: Int = 1
    ) {
        begin(name, separator)
        appendDecimal(value, to: &bytes, width: width)
        end()
    }

    mutating func line(_ name: StaticString, _ stamp: Stamp) {
        begin(name, ": ")
        append(UInt64(clamping: stamp.wall))
        bytes.append(UInt8(ascii: " "))
        append(UInt64(clamping: stamp.boot))
        end()
    }

    /// The line that ends a section: CRC-32C of all before it.
    mutating func check() {
        var checksum = Checksum()
        unsafe bytes.withUnsafeBytes { unsafe checksum.update($0) }
        line("check", hexadecimal: UInt64(checksum.value), digits: 8)
    }

    mutating func line(_ name: StaticString, hexadecimal value: UInt64, digits: Int) {
        begin(name, ": ")
        appendHexadecimal(value, digits: digits, to: &bytes)
        end()
    }

    mutating func line(_ name: StaticString, _ boot: BootID) {
        begin(name, ": ")
        appendHexadecimal(boot.high, digits: 16, to: &bytes)
        appendHexadecimal(boot.low, digits: 16, to: &bytes)
        end()
    }

    private mutating func begin(_ name: StaticString, _ separator: StaticString) {
        name.withUTF8Buffer { unsafe bytes.append(contentsOf: $0) }
        separator.withUTF8Buffer { unsafe bytes.append(contentsOf: $0) }
    }

    private mutating func end() { bytes.append(UInt8(ascii: "\n")) }

    private mutating func append(_ value: UInt64) { appendDecimal(value, to: &bytes) }
}

/// Reads such lines in their order.
@unsafe struct RecordLines {
    fileprivate let bytes: UnsafeRawBufferPointer
    /// Where the next line begins.
    private(set) var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = unsafe bytes }

    /// The value of the next line if it has that name; otherwise nil, and the line stays.
    mutating func next(
        named name: StaticString, separator: UInt8 = UInt8(ascii: ":")
    ) -> UnsafeBufferPointer<UInt8>? {
        let count = name.utf8CodeUnitCount
        guard unsafe bytes.count - offset > count else { return nil }
        for index in 0..<count where unsafe bytes[offset + index] != name.utf8Start[index] {
            return nil
        }
        var start = unsafe offset + count
        guard unsafe bytes[start] == separator else { return nil }
        start += 1
        if separator == UInt8(ascii: ":") {
            guard unsafe start < bytes.count, unsafe bytes[start] == UInt8(ascii: " ") else {
                return nil
            }
            start += 1
        }
        guard let end = unsafe lineEnd(from: start) else { return nil }
        unsafe offset = end + 1
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<end]).assumingMemoryBound(
            to: UInt8.self)
    }

    /// Passes over a line of any name; false if there is none.
    mutating func skip() -> Bool {
        guard let end = unsafe lineEnd(from: offset),
            unsafe bytes[offset..<end].contains(UInt8(ascii: ":"))
        else {
            return false
        }
        unsafe offset = end + 1
        return true
    }

    private func lineEnd(from start: Int) -> Int? {
        unsafe firstIndex(of: UInt8(ascii: "\n"), in: bytes, from: start)
    }

    /// Whether the next line is the check of everything before it.
    mutating func check() -> Bool {
        let end = unsafe offset
        guard let written = unsafe next(named: "check").flatMap(checkNumber) else { return false }
        var checksum = Checksum()
        unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[..<end]))
        return checksum.value == written
    }
}

extension RecordLines {
    /// Whether the last line before what fills the record is the check of everything before it.
    func checkAtEnd(filler: UInt8) -> Bool {
        let text = "check: ".utf8.count + 8
        guard unsafe bytes.last == UInt8(ascii: "\n") else { return false }
        var end = unsafe bytes.count - 1
        while unsafe end > 0 && bytes[end - 1] == filler { end -= 1 }
        // Where nothing fills it, what was left out is the end of the line itself.
        if unsafe end > 0 && bytes[end - 1] == UInt8(ascii: "\n") { end -= 1 }
        guard end > text, unsafe bytes[end - text - 1] == UInt8(ascii: "\n") else { return false }
        var line = unsafe RecordLines(
            UnsafeRawBufferPointer(rebasing: bytes[(end - text)..<min(bytes.count, end + 1)]))
        guard let written = unsafe line.next(named: "check").flatMap(checkNumber) else {
            return false
        }
        var checksum = Checksum()
        unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[..<(end - text)]))
        return checksum.value == written
    }
}

/// The number that the 8 digits of a check make.
func checkNumber(_ digits: UnsafeBufferPointer<UInt8>) -> UInt32? {
    guard digits.count == 8 else { return nil }
    return unsafe hexadecimalNumber(digits).map { UInt32($0) }
}

extension Stamp {
    init?(_ text: UnsafeBufferPointer<UInt8>) {
        guard let space = unsafe text.firstIndex(of: UInt8(ascii: " ")),
            let wall = unsafe decimal(text[..<space]),
            let boot = unsafe decimal(text[(space + 1)...])
        else { return nil }
        self.init(wall: Int64(clamping: wall), boot: Int64(clamping: boot))
    }
}
