internal import SystemCalls

extension Store {
    /// The bytes of a READY entry; large ones are mapped, not read into memory, where nobody else can
    /// write their file.
    ///
    /// They do not change, whatever becomes of the entry.
    public struct Value: RandomAccessCollection, Sendable {
        private let storage: Storage

        private enum Storage: Sendable {
            case bytes([UInt8])
            case mapped(Mapping)
        }

        init(_ bytes: [UInt8]) { storage = .bytes(bytes) }
        init(_ mapping: Mapping) { storage = .mapped(mapping) }

        fileprivate var array: [UInt8] {
            switch storage {
            case .bytes(let bytes): bytes
            case .mapped(let mapping): unsafe [UInt8](mapping.payload)
            }
        }

        /// 0.
        public var startIndex: Int { 0 }

        /// The number of bytes.
        public var endIndex: Int {
            switch storage {
            case .bytes(let bytes): bytes.count
            case .mapped(let mapping): unsafe mapping.payload.count
            }
        }

        /// The byte at a position, counted from 0.
        public subscript(position: Int) -> UInt8 {
            switch storage {
            case .bytes(let bytes): return bytes[position]
            case .mapped(let mapping):
                // Raw memory checks its bounds in debug builds only.
                unsafe precondition(
                    mapping.payload.indices.contains(position), "no byte at \(position)")
                return unsafe mapping.payload[position]
            }
        }

        /// Calls a closure with the contiguous bytes: so `Array(value)` copies them at once.
        public func withContiguousStorageIfAvailable<R>(
            _ body: (UnsafeBufferPointer<UInt8>) throws -> R
        ) rethrows -> R? {
            switch storage {
            case .bytes(let bytes): try unsafe bytes.withUnsafeBufferPointer(body)
            case .mapped(let mapping):
                try unsafe mapping.payload.withMemoryRebound(to: UInt8.self, body)
            }
        }

        /// Calls a closure with the contiguous bytes, which must not be kept beyond it.
        public func withBytes<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E)
            -> R
        {
            switch storage {
            case .bytes(let bytes): try unsafe body(bytes.span.bytes)
            case .mapped(let mapping): try unsafe body(mapping.payload.bytes)
            }
        }

        /// The payload of a record file, mapped.
        ///
        /// Such a file never shrinks: it gets its name when it is whole, and is only ever removed.
        @safe final class Mapping: @unchecked Sendable {
            // Read-only memory, given back by the last user.
            private let file: UnsafeRawBufferPointer
            let payload: UnsafeRawBufferPointer

            init?(_ file: borrowing File, size: Int, payloadAt offset: Int) {
                guard let bytes = unsafe file.map(count: size) else { return nil }
                unsafe self.file = unsafe bytes
                unsafe payload = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            }

            deinit { unsafe File.unmap(file) }
        }
    }
}

/// The short name inside this package.
package typealias Value = Store.Value

extension Store.Value: Hashable {
    /// Whether two values have the same bytes.
    public static func == (a: Self, b: Self) -> Bool {
        a.count == b.count && a.withBytes { a in b.withBytes { b in a.hasSameBytes(as: b) } }
    }

    /// Feeds the bytes to a hasher.
    public func hash(into hasher: inout Hasher) {
        withBytes { bytes in unsafe bytes.withUnsafeBytes { unsafe hasher.combine(bytes: $0) } }
    }
}

extension Store.Value: CustomStringConvertible, CustomDebugStringConvertible {
    /// The bytes as text where they are UTF-8, otherwise their number, such as "<4096 bytes>".
    ///
    /// For a text that is to be used write `String(value)`.
    public var description: String {
        String(validating: self, as: UTF8.self) ?? "<\(count) bytes>"
    }

    /// The text in quotes, or the number of bytes.
    public var debugDescription: String {
        String(validating: self, as: UTF8.self)?.debugDescription ?? "<\(count) bytes>"
    }
}

extension String {
    /// Creates the text that a value is in UTF-8; what is not UTF-8 becomes "\u{FFFD}".
    public init(_ value: Store.Value) { self.init(decoding: value, as: UTF8.self) }
}

extension [UInt8] {
    /// Creates an array of a value's bytes: without a copy, unless they are mapped.
    public init(_ value: Store.Value) { self = value.array }
}

extension RawSpan {
    fileprivate func hasSameBytes(as other: RawSpan) -> Bool {
        unsafe withUnsafeBytes { mine in
            unsafe other.withUnsafeBytes { unsafe mine.elementsEqual($0) }
        }
    }
}
