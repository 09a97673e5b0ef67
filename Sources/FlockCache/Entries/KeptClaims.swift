internal import SystemCalls

/// The file of a claim that is ours, and its text.
final class PendingClaim: Sendable {
    let file: File
    let text: [UInt8]
    let generation: Store.Generation

    init(file: consuming File, text: [UInt8], generation: Store.Generation) {
        self.file = file
        self.text = text
        self.generation = generation
    }

    func valueSection(_ value: UnsafeRawBufferPointer) -> [UInt8] {
        var checksum = Checksum()
        unsafe checksum.update(value)
        let head = ValueSection(finalized: WallClock.microseconds, payloadLength: value.count)
            .head(behind: text, payload: checksum)
        var section = [UInt8]()
        section.reserveCapacity(head.count + value.count)
        section.append(contentsOf: head)
        unsafe section.append(contentsOf: value)
        return section
    }
}

/// The files of the claims that this process has made and not ended yet, kept open.
///
/// While a file is open its inode is no other file's. Who finalizes needs neither to open it again nor to read what
/// he has written himself.
final class KeptClaims: Sendable {
    /// A claim, and the block of its shard when it was made.
    struct Kept: Sendable {
        let name: EntryName
        let claim: PendingClaim
        let block: ShardBlock
    }

    /// A program may have many claims at a time; most have one.
    private static let most = min(64, Process.descriptorLimit / 8)

    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var kept: [Kept] = []

    /// Keeps a claim of a key that has no value.
    func keep(_ claim: PendingClaim, of name: EntryName, besides block: ShardBlock) {
        let new = Kept(name: name, claim: claim, block: block)
        mutex.locked(0) { if unsafe kept.count < Self.most { unsafe kept.append(new) } }
    }

    /// The claim of a key of that generation, which is kept no longer.
    func take(_ name: EntryName, _ generation: Store.Generation) -> Kept? {
        mutex.locked(0) {
            let index = unsafe kept.lastIndex {
                $0.claim.generation == generation && $0.name == name
            }
            return index.map { unsafe kept.remove(at: $0) }
        }
    }

    /// Lets go of all.
    func forget() {
        // They are closed when the mutex is free again.
        var former: [Kept] = []
        mutex.locked(0) { unsafe swap(&kept, &former) }
    }
}
