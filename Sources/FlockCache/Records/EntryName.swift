internal import SystemCalls

/// Where a key's entry lies: its shard, and the names of its two files there.
struct EntryName: Hashable, Sendable {
    let shard: Int
    /// The file of the READY entry.
    let ready: FileName
    /// The file of the PENDING entry.
    var pending: FileName { FileName(ready.bytes + Self.pendingSuffix) }

    static let longestKey = 200
    /// Leaves room below the 255 bytes of a file name for `.pending` and its like.
    static let longestName = 240

    /// Throws `.invalidKey` for a key that is empty or too long.
    init(_ key: Store.Key) throws(StoreError) {
        guard !key.bytes.isEmpty else { throw .emptyKey() }
        guard key.bytes.count <= Self.longestKey else { throw .keyTooLong(key) }
        let encoded = Self.encode(key.bytes)
        guard encoded.count <= Self.longestName else { throw .keyTooLong(key) }
        self.init(shard: Self.shard(of: key.bytes), encoded: encoded)
    }

    /// The name that a file has.
    init(shard: Int, encoded: [UInt8]) {
        self.shard = shard
        ready = FileName(encoded)
    }

    var encoded: ArraySlice<UInt8> { ready.bytes }

    static let pendingSuffix = Array(".pending".utf8)

    /// The low 8 bits of the hash.
    static func shard(of key: [UInt8]) -> Int { Int(hash(of: key) & 0xff) }

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
            if isPlain(byte) && !isDot {
                name.append(byte)
            } else {
                name.append(UInt8(ascii: "%"))
                name.append(upperDigits[Int(byte >> 4)])
                name.append(upperDigits[Int(byte & 15)])
            }
        }
        return name
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
