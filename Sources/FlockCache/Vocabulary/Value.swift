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
        case .mapped(let mapping): mapping.payload.count
        }
    }

    /// The byte at a position, counted from 0.
    public subscript(position: Int) -> UInt8 {
        switch storage {
        case .bytes(let bytes): return bytes[position]
        case .mapped(let mapping):
            // Raw memory checks its bounds in debug builds only.
            precondition(mapping.payload.indices.contains(position), "no byte at \(position)")
            return mapping.payload[position]
        }
    }

    /// Calls a closure with the contiguous bytes: so `Array(value)` copies them at once.
    public func withContiguousStorageIfAvailable<R>(
        _ body: (UnsafeBufferPointer<UInt8>) throws -> R
    ) rethrows -> R? {
        switch storage {
        case .bytes(let bytes): try bytes.withUnsafeBufferPointer(body)
        case .mapped(let mapping): try mapping.payload.withMemoryRebound(to: UInt8.self, body)
        }
    }

    /// Calls a closure with the contiguous bytes, which must not be kept beyond it.
    public func withBytes<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        switch storage {
        case .bytes(let bytes): try body(bytes.span.bytes)
        case .mapped(let mapping): try body(mapping.payload.bytes)
        }
    }

    /// The payload of a record file, mapped.
    ///
    /// Such a file never shrinks: it gets its name when it is whole, and is only ever removed.
    final class Mapping: @unchecked Sendable {
        // Read-only memory, given back by the last user.
        private let file: UnsafeRawBufferPointer
        let payload: UnsafeRawBufferPointer

        init?(_ file: borrowing File, size: Int, payloadAt offset: Int) {
            guard let bytes = file.map(count: size) else { return nil }
            self.file = bytes
            payload = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        }

        deinit { File.unmap(file) }
    }
}
