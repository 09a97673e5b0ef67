internal import SystemCalls

/// A READY record being written to a file of its own, for values that are not held in memory.
final class LargeRecord {
    private let store: OpenStore
    private let key: Store.Key
    let name: FileName
    private let file: File
    /// The text of the claim that the value is for.
    private let claim: [UInt8]
    let generation: Store.Generation
    private var length = 0
    private var checksum = Checksum()

    init(
        store: OpenStore, key: Store.Key, name: FileName, file: consuming File, claim: [UInt8],
        generation: Store.Generation
    ) {
        self.store = store
        self.key = key
        self.name = name
        self.file = file
        self.claim = claim
        self.generation = generation
    }

    private var payloadStart: Int { claim.count + ValueSection.headLength }

    /// The size of the finished file.
    var size: Int { payloadStart + length }

    func append(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        guard length + bytes.count <= Limits.value else { throw .valueTooLarge(key) }
        unsafe checksum.update(bytes)
        try attempt("write the value of \(key)", store.path) { () throws(Errno) in
            try unsafe file.write(bytes, at: payloadStart + length)
        }
        length += bytes.count
    }

    /// Reads what was appended, from an offset of the value on; also when the file has lost its name.
    func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try unsafe file.read(into: bytes, at: payloadStart + offset)
    }

    /// Writes the head, now that length and check are known.
    func finish() throws(StoreError) {
        let head = ValueSection(finalized: WallClock.microseconds, payloadLength: length)
            .head(behind: claim, payload: checksum)
        try attempt("write the value of \(key)", store.path) { () throws(Errno) in
            try file.write(claim + head, at: 0)
            if store.isDurable { try file.sync() }
        }
    }
}
