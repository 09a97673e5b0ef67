internal import SystemCalls

/// A value that is not held in memory: written to a private file, and then put in its place.
///
/// Used by one thread. Dropped without having been published, it leaves nothing behind.
final class LargePut {
    private let change: ValueChange
    private let precondition: Store.Precondition
    private let section: ClaimSection
    private let record: LargeRecord
    private var isPublished = false

    enum Beginning {
        case begun(LargePut)
        /// There is something against it already: nothing was made, and the value need not be read.
        case refused(PutOutcome)
    }

    static func begin(
        _ name: EntryName, if precondition: Store.Precondition, in session: Session
    ) throws(StoreError) -> Beginning {
        try session.withStore(name.shard) { (store) throws(StoreError) in
            let change = ValueChange(store: store, session: session, name: name, operation: "put")
            var kept: String?
            // When the mutex is free again.
            defer { if let kept { session.configuration.onDamage?(name.key, kept) } }
            return try begin(change, if: precondition, setAside: &kept)
        }
    }

    private static func begin(
        _ change: ValueChange, if precondition: Store.Precondition, setAside kept: inout String?
    ) throws(StoreError) -> Beginning {
        let (store, name) = (change.store, change.name)
        let temporary = try store.temporaryName()
        let section = try change.section()
        var held = try HeldShard(store, name.shard)
        let directory = try held.directory()
        if let refusal = try change.refusal(precondition, &held, in: directory, setAside: &kept) {
            return .refused(refusal)
        }
        try held.begin(Intent())
        let file = try makeFile(temporary, change, &held, in: directory)
        held.block.counts.temporaries += 1
        held.commit()
        unsafe Store.betweenChanges?()
        let record = LargeRecord(
            store: store, key: name.key, name: temporary, file: file, claim: text(section),
            generation: 0)
        return .begun(LargePut(change, precondition, section, record))
    }

    private static func makeFile(
        _ name: FileName, _ change: ValueChange, _ held: inout HeldShard, in directory: Directory
    ) throws(StoreError) -> File {
        let marker = change.store.marker
        do throws(Errno) {
            let file = try directory.open(name, .createNew(mode: marker.fileMode))
            do throws(Errno) {
                if marker.isShared { try file.changeMode(to: marker.fileMode) }
            } catch {
                try directory.unlink(name)
                held.takeBack()
                throw error
            }
            return file
        } catch {
            throw StoreError(
                error, "write the value of \(change.key)", path: change.store.path)
        }
    }

    private init(
        _ change: ValueChange, _ precondition: Store.Precondition, _ section: ClaimSection,
        _ record: LargeRecord
    ) {
        self.change = change
        self.precondition = precondition
        self.section = section
        self.record = record
    }

    deinit {
        guard !isPublished else { return }
        // What cannot be removed now the reaper removes.
        try? change.store.discard(record.name, in: change.name.shard)
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        try unsafe record.append(bytes)
    }

    /// Puts the value in its place, unless there is something against it by now.
    func publish() throws(StoreError) -> PutOutcome {
        try record.syncValue()
        guard !change.store.files.isElsewhere else {
            throw .storeMovedMeanwhile(change.operation, change.key, change.store.path)
        }
        let (section, record) = (section, record)
        let outcome = try change.put(if: precondition) { generation in
            var section = section
            section.generation = generation
            return Replacement(
                temporary: record.name, generation: generation,
                content: .written(record, claim: Self.text(section)))
        }
        if case .set = outcome { isPublished = true }
        return outcome
    }

    /// The claim section, as long for every generation: the value's place behind it is taken first.
    private static func text(_ section: ClaimSection) -> [UInt8] {
        section.text(generationWidth: ClaimSection.generationWidth)
    }
}
