internal import SystemCalls

extension Session {
    /// Publishes a value by the right of a claim.
    ///
    /// Promises that the key goes from PENDING to READY in one step, for the current claim only. What
    /// could break it: a claim taken over meanwhile (its generation is compared under the mutex), an
    /// earlier attempt that was killed half-way (the file is first cut back to its claim section), two
    /// finalizers of one claim (only the small value is appended to the claim's own file, and under the
    /// mutex; a large one is written whole to a file of its own), a kill after the rename (what is left
    /// beside the READY record has no higher generation, and is debris), a full disk (the claim stays).
    ///
    /// Finalizing again what is READY from the same claim changes nothing and succeeds; the result says whether
    /// the value that is there is another.
    @discardableResult
    package func finalize(
        _ key: Store.Key, by right: ClaimRight, _ source: ValueSource
    ) throws(StoreError) -> Finalized {
        if case .bytes(let bytes) = unsafe source, bytes.count <= ReadyFile.largestInMemory {
            let name = try EntryName(key)
            // A claim there is none to finalize makes no store.
            guard try existing() != nil else {
                throw .claimLost("finalize", key, asked: right.generation, now: .absent)
            }
            let finalized = try withStore(name.shard) { (store) throws(StoreError) in
                try unsafe FinalizeChange(store: store, name: name, right: right).append(bytes)
            }
            if let finalized { return finalized }
        }
        let writer = try ValueWriter(for: key, by: right, in: self)
        switch unsafe source {
        case .bytes(let bytes): try unsafe writer.append(bytes)
        case .descriptor(let number, let place):
            try writer.append(readingFrom: number, place)
        }
        return try writer.publish()
    }

    /// The same with the content of a file, read from a path as the user gave it.
    @discardableResult
    package func finalize(
        _ key: Store.Key, by right: ClaimRight, contentsOf path: [UInt8]
    ) throws(StoreError) -> Finalized {
        let place = String(decoding: path, as: UTF8.self)
        guard !path.contains(0) else { throw .unreadableValue(.noEntry, key, place) }
        let open = { () throws(StoreError) -> File in
            do throws(Errno) {
                return try File.open(path: FileName(path))
            } catch {
                throw .unreadableValue(error, key, place)
            }
        }
        let file = try open()
        return try unsafe finalize(key, by: right, .descriptor(file.number, place))
    }
}
