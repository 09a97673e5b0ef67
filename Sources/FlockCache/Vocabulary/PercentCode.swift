/// Appends bytes as `list` prints keys: letters, digits and some marks as they are, all others percent-encoded.
package func appendEscaped(_ bytes: UnsafeRawBufferPointer, to text: inout [UInt8]) {
    for index in bytes.indices {
        PercentCode.append(unsafe bytes[index], to: &text)
    }
}

extension Store.Key {
    /// The key that is meant by percent-encoded text, in which any byte may be encoded; nil where an escape is none.
    package init?(percentEncoded text: [UInt8]) {
        for index in text.indices where text[index] == UInt8(ascii: "%") {
            // An escape that is cut off at the end would stand for nothing.
            guard index + 2 < text.count else { return nil }
        }
        guard let bytes = PercentCode.unescape(text) else { return nil }
        self.init(bytes)
    }
}

/// Keys as names of files, and back; and the hash by which keys are spread.
enum PercentCode {
    /// What the name of a claim's file ends with, so that no key's own name may.
    static let pendingSuffix = Array(".pending".utf8)

    /// FNV-1a 64.
    static func hash(of key: [UInt8]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in key { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }

    /// The key as a file name: what is not harmless everywhere is percent-encoded, so that no key
    /// leaves its directory, is hidden, or looks like a file of another kind.
    static func encode(_ key: [UInt8]) -> [UInt8] {
        var isHarmless = key.first != dot
        for byte in key where !isPlain(byte) { isHarmless = false }
        let suffixStart = key.count - pendingSuffix.count
        let isPendingLike = suffixStart >= 0 && key[suffixStart...].elementsEqual(pendingSuffix)
        if isHarmless && !isPendingLike { return key }

        var name = [UInt8]()
        name.reserveCapacity(key.count + 8)
        for (index, byte) in key.enumerated() {
            let isDot = byte == dot && (index == 0 || isPendingLike && index == suffixStart)
            if isDot { appendEncoded(byte, to: &name) } else { append(byte, to: &name) }
        }
        return name
    }

    /// A byte as it stands anywhere in a name but where a dot may not.
    fileprivate static func append(_ byte: UInt8, to name: inout [UInt8]) {
        if isPlain(byte) { name.append(byte) } else { appendEncoded(byte, to: &name) }
    }

    private static func appendEncoded(_ byte: UInt8, to name: inout [UInt8]) {
        name.append(UInt8(ascii: "%"))
        name.append(upperDigits[Int(byte >> 4)])
        name.append(upperDigits[Int(byte & 15)])
    }

    /// The key of a name; nil for a name that no key has.
    static func decode(_ name: some Collection<UInt8>) -> [UInt8]? {
        guard let key = unescape(name), !key.isEmpty, encode(key).elementsEqual(name) else {
            return nil
        }
        return key
    }

    /// The bytes that a part of a name stands for; nil where it is no part of one.
    ///
    /// An escape that was cut off at the end stands for nothing.
    static func unescape(_ name: some Collection<UInt8>) -> [UInt8]? {
        var key = [UInt8]()
        key.reserveCapacity(name.count)
        var rest = name.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                key.append(byte)
                continue
            }
            guard let first = rest.next() else { return key }
            guard let high = upperDigit(first) else { return nil }
            guard let second = rest.next() else { return key }
            guard let low = upperDigit(second) else { return nil }
            key.append(high << 4 | low)
        }
        return key
    }

    private static let dot = UInt8(ascii: ".")
    private static let upperDigits = Array("0123456789ABCDEF".utf8)

    private static func upperDigit(_ byte: UInt8) -> UInt8? {
        upperDigits.firstIndex(of: byte).map { UInt8($0) }
    }

    @inline(__always)
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), dot, UInt8(ascii: ":"), UInt8(ascii: "@"),
            UInt8(ascii: "+"), UInt8(ascii: "="), UInt8(ascii: ","):
            true
        default: false
        }
    }
}
