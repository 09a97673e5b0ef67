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
        try attempt("write the value of '\(key)'", store.path) { () throws(Errno) in
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
        try attempt("write the value of '\(key)'", store.path) { () throws(Errno) in
            try finish(as: claim)
        }
    }

    /// The same with the text of another claim that is as long.
    func finish(as claim: [UInt8]) throws(Errno) {
        precondition(claim.count == self.claim.count, "the value's place is behind it")
        let head = ValueSection(finalized: WallClock.microseconds, payloadLength: length)
            .head(behind: claim, payload: checksum)
        try file.write(claim + head, at: 0)
        if store.isDurable { try file.sync() }
    }

    /// Where the store is durable, puts the value on the device: for who is to write the head under a mutex.
    func syncValue() throws(StoreError) {
        guard store.isDurable else { return }
        try attempt("write the value of '\(key)'", store.path) { () throws(Errno) in
            try file.sync()
        }
    }

    func inode() throws(Errno) -> UInt64 { try file.status().inode }
}

extension OpenStore {
    /// Removes the file of a value that will not be published.
    func discard(_ temporary: FileName, in shard: Int) throws(StoreError) {
        var held = try HeldShard(self, shard)
        try discard(temporary, &held, in: try held.directory())
    }

    func discard(
        _ temporary: FileName, _ held: inout HeldShard, in directory: Directory
    ) throws(StoreError) {
        try held.begin(Intent())
        try attempt("remove", file(temporary, in: held.shard)) { () throws(Errno) in
            if try directory.unlink(temporary) { held.block.counts.temporaries -= 1 }
        }
        held.commit()
    }
}
