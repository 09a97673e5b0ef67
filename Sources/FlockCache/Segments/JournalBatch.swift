internal import SystemCalls

/// Records that are to be appended together.
package struct JournalBatch: Sendable {
    private var bytes: [UInt8] = []
    /// Where each record ends.
    private var ends: [Int] = []

    package init() {}

    package var count: Int { ends.count }
    package var byteCount: Int { bytes.count }
    package var isEmpty: Bool { ends.isEmpty }
    /// Bytes that they take in a segment.
    var size: Int { bytes.count + ends.count * JournalFrame.byteCount }

    package mutating func add(_ record: UnsafeRawBufferPointer) {
        unsafe bytes.append(contentsOf: record)
        ends.append(bytes.count)
    }

    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }

    func forEach(
        _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) {
        try unsafe bytes.span.withUnsafeBytes { (bytes) throws(StoreError) in
            var start = 0
            for end in ends {
                try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                start = end
            }
        }
    }
}
