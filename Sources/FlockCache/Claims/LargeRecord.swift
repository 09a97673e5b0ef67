internal import SystemCalls

/// A READY record being written to a file of its own, for values that are not held in memory.
struct LargeRecord: ~Copyable {
    struct Temporary: ~Copyable {
        let name: FileName
        let file: File
        /// The text of the claim that the value is for.
        let claim: [UInt8]
        let generation: Store.Generation
    }

    let store: OpenStore
    let key: Store.Key
    let temporary: Temporary
    private(set) var length = 0

    init(store: OpenStore, key: Store.Key, _ temporary: consuming Temporary) {
        self.store = store
        self.key = key
        self.temporary = temporary
    }

    private var payloadStart: Int { temporary.claim.count + ValueSection.headLength }

    /// The size of the finished file.
    var size: Int { payloadStart + length }

    /// Writes bytes, and behind them what a descriptor yields; the head last, when the length is known.
    mutating func write(
        _ first: UnsafeRawBufferPointer, followedBy number: Int32?
    ) throws(StoreError) {
        var checksum = Checksum()
        try append(first, &checksum)
        if let number {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 8)
            defer { buffer.deallocate() }
            while true {
                let count: Int
                do throws(Errno) {
                    count = try readDescriptor(number, into: buffer)
                } catch {
                    throw .unreadableValue(error, key)
                }
                if count == 0 { break }
                try append(UnsafeRawBufferPointer(rebasing: buffer[..<count]), &checksum)
            }
        }
        let head = ValueSection(finalized: WallClock.microseconds, payloadLength: length)
            .head(behind: temporary.claim, payload: checksum)
        try attempt("write the value of \(key)", store.path) { () throws(Errno) in
            try temporary.file.write(temporary.claim + head, at: 0)
            if store.isDurable { try temporary.file.sync() }
        }
    }

    private mutating func append(
        _ bytes: UnsafeRawBufferPointer, _ checksum: inout Checksum
    ) throws(StoreError) {
        guard length + bytes.count <= ValueSection.largestPayload else { throw .valueTooLarge(key) }
        checksum.update(bytes)
        try attempt("write the value of \(key)", store.path) { () throws(Errno) in
            try temporary.file.write(bytes, at: payloadStart + length)
        }
        length += bytes.count
    }
}
