internal import SystemCalls

/// A value on its way into the store: kept in memory while it is small, written to a file of its own
/// when it grows.
///
/// Used by one thread. What `append` or `publish` throws is the end of it, and nothing is left behind.
package final class ValueWriter {
    private let session: Session
    private let key: Store.Key
    private let name: EntryName
    private let right: ClaimRight
    private var small: [UInt8] = []
    /// The file of a value that has grown; what was written to it can be read whatever becomes of it.
    private var record: LargeRecord?
    private var state = State.small
    /// How many bytes were taken, and can be read back.
    package private(set) var length = 0

    private enum State {
        case small
        case large(FinalizeChange, LargeRecord)
        /// It is READY from the same claim already; what comes is compared with that value.
        case done(FinalizeChange, ValueComparison?)
        case failed
    }

    /// Begins a value for a claim.
    ///
    /// - Throws: `.invalidKey`; `.claimLost` where there is no store, and makes none.
    package init(
        for key: Store.Key, by right: ClaimRight, in session: Session
    ) throws(StoreError) {
        name = try EntryName(key)
        guard try session.existing() != nil else {
            throw .claimLost("finalize", key, asked: right.generation, now: .absent)
        }
        self.session = session
        self.key = key
        self.right = right
    }

    deinit { discard() }

    /// Takes more of the value.
    package func append(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        if case .small = state {
            guard small.count + bytes.count > ReadyFile.largestInMemory else {
                unsafe small.append(contentsOf: bytes)
                length += bytes.count
                return
            }
            try begin()
        }
        if case .done(let change, let comparison) = state {
            try unsafe change.compare(bytes, with: comparison)
        }
        guard case .large(_, let record) = state else { return }
        do throws(StoreError) {
            try unsafe record.append(bytes)
            length += bytes.count
        } catch {
            discard()
            throw error
        }
    }

    /// Reads back what was taken, from an offset on; also when it has been published or discarded.
    package func read(
        at offset: Int, into bytes: UnsafeMutableRawBufferPointer
    ) throws(StoreError) -> Int {
        let part = unsafe UnsafeMutableRawBufferPointer(
            rebasing: bytes.prefix(max(0, min(bytes.count, length - offset))))
        guard let record else {
            unsafe part.copyBytes(from: small[offset..<(offset + part.count)])
            return part.count
        }
        return try attempt("read back the value of \(key)", nil) { () throws(Errno) in
            try unsafe record.read(at: offset, into: part)
        }
    }

    /// Takes all that a descriptor yields; `place` is how messages call it.
    func append(readingFrom number: Int32, _ place: String) throws(StoreError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { unsafe buffer.deallocate() }
        while true {
            let count: Int
            do throws(Errno) {
                count = try unsafe readDescriptor(number, into: buffer)
            } catch {
                discard()
                throw .unreadableValue(error, key, place)
            }
            if count == 0 { return }
            try unsafe append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// Publishes what was taken.
    ///
    /// Not in a store that was moved or removed meanwhile: no other process would find the value, and one that
    /// claims the key at the store's path computes it again.
    package func publish() throws(StoreError) -> Finalized {
        defer { state = .failed }
        switch state {
        case .failed: throw .claimLost("finalize", key, holder: nil)
        case .done(let change, let comparison):
            return Finalized(
                generation: try change.inPlace(), differs: comparison?.differs ?? false)
        case .small:
            try session.checkPlace(finalizing: key)
            let value = small
            let generation = try session.withStore(name.shard) { (store) throws(StoreError) in
                try unsafe value.span.withUnsafeBytes { (bytes) throws(StoreError) in
                    try unsafe change(in: store).append(bytes)
                }
            }
            if let generation { return generation }
            // To a file of its own.
            try begin()
            return try publish()
        case .large(let change, let record):
            do throws(StoreError) {
                try record.finish()
                if change.store.files.isElsewhere {
                    throw .storeMoved("finalize", key, session.path)
                }
                let (generation, other) = try change.replace(by: record)
                let differs = try other.map { (other) throws(StoreError) in
                    try isOther(than: other, change)
                }
                return Finalized(generation: generation, differs: differs ?? false)
            } catch {
                discard()
                throw error
            }
        }
    }

    /// Whether what was taken is another value; both may be large, and no mutex is held.
    private func isOther(
        than other: ValueComparison, _ change: FinalizeChange
    ) throws(StoreError) -> Bool {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var position = 0
        while position < length {
            let count = try unsafe read(at: position, into: buffer)
            guard count > 0 else { break }
            try unsafe change.compare(
                UnsafeRawBufferPointer(rebasing: buffer[..<count]), with: other)
            position += count
        }
        return other.differs
    }

    /// Leaves the value to the end of this process: discarding it could wait for a server that does not answer.
    package func leave() { _ = unsafe Unmanaged.passRetained(self) }

    /// Forgets the value.
    package func discard() {
        // Also where the claim was lost meanwhile: what cannot be removed now the reaper removes.
        if case .large(let change, let record) = state {
            try? change.store.discard(record.name, in: name.shard)
        }
        state = .failed
    }

    private func begin() throws(StoreError) {
        do throws(StoreError) {
            try session.checkPlace(finalizing: key)
            state = try session.withStore(name.shard) { (store) throws(StoreError) -> State in
                let change = change(in: store)
                switch try change.begin() {
                case .record(let record): return .large(change, record)
                case .done(let comparison): return .done(change, comparison)
                }
            }
        } catch {
            state = .failed
            throw error
        }
        if case .done(let change, let comparison) = state {
            let taken = small
            try unsafe taken.span.withUnsafeBytes { (bytes) throws(StoreError) in
                try unsafe change.compare(bytes, with: comparison)
            }
        }
        if case .large(_, let record) = state {
            do throws(StoreError) {
                try unsafe small.span.withUnsafeBytes { (bytes) throws(StoreError) in
                    try unsafe record.append(bytes)
                }
            } catch {
                discard()
                throw error
            }
            self.record = record
            small = []
        }
    }

    private func change(in store: OpenStore) -> FinalizeChange {
        FinalizeChange(store: store, name: name, right: right)
    }
}
