internal import Glibc

/// The index of the first byte of a value from an index on; nil if there is none.
package func firstIndex(
    of byte: UInt8, in bytes: UnsafeRawBufferPointer, from start: Int
) -> Int? {
    guard start < bytes.count, let base = bytes.baseAddress,
        let found = unsafe memchr(base + start, Int32(byte), bytes.count - start)
    else { return nil }
    return unsafe base.distance(to: UnsafeRawPointer(found))
}
