extension Store {
    /// The bytes that name a piece of work: 1 to 200 of them, usually a content hash.
    ///
    /// Any bytes will do; no encoding is required of them. The length is checked where the key is
    /// used: an empty or longer one throws `.invalidKey`.
    public struct Key: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
        /// The bytes themselves.
        public let bytes: [UInt8]

        /// The UTF-8 of a string.
        public init(_ string: some StringProtocol) { bytes = Array(string.utf8) }

        /// Any bytes.
        public init(_ bytes: some Collection<UInt8>) { self.bytes = Array(bytes) }

        /// The UTF-8 of a literal.
        public init(stringLiteral value: String) { bytes = Array(value.utf8) }

        /// The key percent-encoded, as its file is named; always printable ASCII.
        public var description: String {
            String(decoding: PercentCode.encode(bytes), as: UTF8.self)
        }
    }
}
