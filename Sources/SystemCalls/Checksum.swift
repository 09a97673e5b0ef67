internal import CSystem

/// CRC-32C of a sequence of bytes, fed piece by piece.
package struct Checksum: Sendable {
    package private(set) var value: UInt32 = 0

    package init() {}

    /// Goes on from a value.
    package init(from value: UInt32) { self.value = value }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = unsafe csystem_crc32c(value, bytes.baseAddress, bytes.count)
    }

    /// The same without the machine's instruction.
    package static func byTable(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        unsafe csystem_crc32c_by_table(0, bytes.baseAddress, bytes.count)
    }
}
