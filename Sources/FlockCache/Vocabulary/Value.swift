internal import SystemCalls

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
    public func withBytes<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
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
