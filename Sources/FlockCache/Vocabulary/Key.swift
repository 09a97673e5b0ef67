extension Store {
    /// The bytes that name an entry, a lock, a lease or a journal: 1 to 200 of them, usually a content hash.
    ///
    /// Calls that take a key take a `String` as well. Any bytes are allowed; no encoding is required. The
    /// length is checked by the call that uses the key: an empty or longer key throws `.invalidKey`. A lock's
    /// key may have 4096 bytes.
    ///
    ///     try store.put("up".utf8, for: "hosts/\(name)/state")
    ///     try store.put("up".utf8, for: Store.Key(digest))        // [UInt8], Data, …
    public struct Key: Hashable, Sendable, ExpressibleByStringInterpolation,
        CustomStringConvertible
    {
        /// The bytes.
        public let bytes: [UInt8]

        /// Creates the key that is the UTF-8 of a string.
        public init(_ string: some StringProtocol) { bytes = Array(string.utf8) }

        /// Creates a key of any bytes.
        public init(_ bytes: some Collection<UInt8>) { self.bytes = Array(bytes) }

        /// Creates the key that is the UTF-8 of a literal.
        public init(stringLiteral value: String) { bytes = Array(value.utf8) }

        /// The key percent-encoded, as in file names; always printable ASCII.
        public var description: String {
            String(decoding: PercentCode.encode(bytes), as: UTF8.self)
        }
    }

    /// A type whose values can be used where a key is expected: ``Key``, `String` and `Substring`.
    ///
    /// Give a program's own identifiers this conformance instead of writing their conversion at each call.
    public protocol KeyConvertible {
        /// The key that names this value.
        var storeKey: Key { get }
    }
}

extension Store.Key: Store.KeyConvertible {
    /// The key itself.
    public var storeKey: Store.Key { self }
}

extension String: Store.KeyConvertible {
    /// The key that is the UTF-8 of the string.
    public var storeKey: Store.Key { Store.Key(self) }
}

extension Substring: Store.KeyConvertible {
    /// The key that is the UTF-8 of the substring.
    public var storeKey: Store.Key { Store.Key(self) }
}
