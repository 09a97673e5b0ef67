internal import SystemCalls

/// What setting a value comes to.
package enum PutOutcome: Sendable {
    /// It is set, with that generation.
    case set(Store.Generation)
    /// The precondition does not hold: the generation that the value has, nil where there is none.
    case unmet(Store.Generation?)
    /// Somebody else is producing the value.
    case pending(Holder)
}

extension Session {
    /// Sets a value without a claim.
    ///
    /// Promises that readers see the old value or the new one, and that of several who set it on the same
    /// precondition one succeeds. What could break it: see `ValueChange`.
    package func put(
        _ key: Store.Key, _ source: ValueSource, if precondition: Store.Precondition
    ) throws(StoreError) -> PutOutcome {
        let name = try EntryName(key)
        if case .generation = precondition, try !hasShard(name) { return .unmet(nil) }
        switch unsafe source {
        case .bytes(let bytes):
            guard bytes.count > ReadyFile.largestInMemory else {
                return try unsafe put(name, bytes, if: precondition)
            }
            switch try LargePut.begin(name, if: precondition, in: self) {
            case .refused(let outcome): return outcome
            case .begun(let large):
                try unsafe large.append(bytes)
                return try large.publish()
            }
        case .descriptor(let number, let place):
            return try put(name, readingFrom: number, place, if: precondition)
        }
    }

    /// Whether there is a store, and in it the part that the key's files would be in.
    private func hasShard(_ name: EntryName) throws(StoreError) -> Bool {
        guard let store = try existing() else { return false }
        return try store.shardDirectory(name.shard, making: false) != nil
    }

    // MARK: Small values

    private func put(
        _ name: EntryName, _ bytes: UnsafeRawBufferPointer, if precondition: Store.Precondition
    ) throws(StoreError) -> PutOutcome {
        var payload = Checksum()
        unsafe payload.update(bytes)
        let checksum = payload
        return try withStore(name.shard) { (store) throws(StoreError) in
            let change = ValueChange(store: store, session: self, name: name, operation: "put")
            let temporary = try store.temporaryName()
            let section = try change.section()
            return try change.put(if: precondition) { generation in
                var section = section
                section.generation = generation
                let claim = section.text
                let head = ValueSection(
                    finalized: WallClock.microseconds, payloadLength: bytes.count
                ).head(behind: claim, payload: checksum)
                var text = [UInt8]()
                text.reserveCapacity(claim.count + head.count + bytes.count)
                text.append(contentsOf: claim)
                text.append(contentsOf: head)
                unsafe text.append(contentsOf: bytes)
                return Replacement(
                    temporary: temporary, generation: generation, content: .text(text))
            }
        }
    }

    // MARK: Values from a descriptor

    private func put(
        _ name: EntryName, readingFrom number: Int32, _ place: String,
        if precondition: Store.Precondition
    ) throws(StoreError) -> PutOutcome {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var small: [UInt8] = []
        var large: LargePut?
        while true {
            let piece: UnsafeRawBufferPointer
            do throws(Errno) {
                let count = try unsafe readDescriptor(number, into: buffer)
                unsafe piece = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
            } catch {
                throw .unreadableValue(error, name.key, place)
            }
            if unsafe piece.isEmpty { break }
            if let large {
                try unsafe large.append(piece)
                continue
            }
            unsafe small.append(contentsOf: piece)
            guard small.count > ReadyFile.largestInMemory else { continue }
            switch try LargePut.begin(name, if: precondition, in: self) {
            case .refused(let outcome): return outcome
            case .begun(let begun):
                try unsafe small.span.withUnsafeBytes { (bytes) throws(StoreError) in
                    try unsafe begun.append(bytes)
                }
                large = begun
                small = []
            }
        }
        if let large { return try large.publish() }
        return try unsafe small.span.withUnsafeBytes { (bytes) throws(StoreError) in
            try unsafe put(name, bytes, if: precondition)
        }
    }
}

extension ValueChange {
    /// Sets the value to a record that a closure makes for its generation.
    func put(
        if precondition: Store.Precondition, _ record: (Store.Generation) -> Replacement
    ) throws(StoreError) -> PutOutcome {
        var kept: String?
        // When the mutex is free again.
        defer { if let kept { session.configuration.onDamage?(key, kept) } }
        for _ in 0..<Self.mostLooks {
            if let outcome = try putOnce(if: precondition, record, setAside: &kept) {
                return outcome
            }
        }
        throw StoreError(.exists, operation, path: store.path, key: key)
    }

    /// nil where the key has to be looked at again.
    private func putOnce(
        if precondition: Store.Precondition, _ record: (Store.Generation) -> Replacement,
        setAside kept: inout String?
    ) throws(StoreError) -> PutOutcome? {
        var held = try HeldShard(store, name.shard)
        let directory = try held.directory()
        let former = try former(&held, in: directory, setAside: &kept)
        let beside = try beside(former?.generation, in: directory)
        if case .live(let holder) = beside { return .pending(holder) }
        guard precondition.holds(for: former?.generation) else { return .unmet(former?.generation) }
        let generation = try held.nextGeneration(
            above: max(former?.generation ?? 0, beside.generation))
        let isSet = try replace(former, beside, by: record(generation), &held, in: directory)
        return isSet ? .set(generation) : nil
    }

    /// What stands against setting the value now; nil where nothing does.
    func refusal(
        _ precondition: Store.Precondition, _ held: inout HeldShard, in directory: Directory,
        setAside kept: inout String?
    ) throws(StoreError) -> PutOutcome? {
        let former = try former(&held, in: directory, setAside: &kept)
        if case .live(let holder) = try beside(former?.generation, in: directory) {
            return .pending(holder)
        }
        return precondition.holds(for: former?.generation) ? nil : .unmet(former?.generation)
    }
}
