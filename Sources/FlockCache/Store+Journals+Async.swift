#if Async

// The same changes for tasks. None of them blocks the thread that its task runs on: behind a stopped process a thread of
// its own waits.

extension Store.Journal {
    /// Appends one whole record and returns its number; the task blocks no thread for a stopped process.
    ///
    /// The first append makes the journal, and the store.
    ///
    /// - Parameter record: 0 bytes to 16 MiB.
    /// - Returns: 1 for the first record, and then one more each time.
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled while it waits for a stopped
    ///   process: the record may be appended all the same.
    @discardableResult
    nonisolated(nonsending)
        public func append(_ record: some Collection<UInt8>) async throws -> UInt64
    {
        let copy = Array(record)
        return try await session.carryOut(onJournal: name) { () throws(StoreError) in
            try append(copy)
        }
    }

    /// Appends several records next to one another and returns their numbers, nil for none; the task blocks no thread
    /// for a stopped process.
    ///
    /// All of them are appended or none, and no other process's record comes between.
    ///
    /// - Throws: as `append` of one record.
    @discardableResult
    nonisolated(nonsending)
        public func append<R: Collection<UInt8>>(
            contentsOf records: some Sequence<R>
        ) async throws -> ClosedRange<UInt64>?
    {
        let copies = records.map { Array($0) }
        return try await session.carryOut(onJournal: name) { () throws(StoreError) in
            try append(contentsOf: copies)
        }
    }

    /// Drops the oldest records down to these limits; the task blocks no thread for a stopped process.
    ///
    /// A limit that is nil drops nothing. Whole segments of some megabytes are dropped, of which no record is within all limits.
    ///
    /// - Parameters:
    ///   - count: the newest so many records are kept.
    ///   - maxAge: younger records are kept. What is dated in the future, by a clock that was wrong, is not.
    ///   - maxBytes: the newest so many bytes of the journal's files are kept.
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled while it waits for a stopped
    ///   process: the records may be dropped all the same.
    nonisolated(nonsending)
        public func trim(
            keeping count: Int? = nil, maxAge: Duration? = nil, maxBytes: Int? = nil
        ) async throws
    {
        try await session.carryOut(onJournal: name) { () throws(StoreError) in
            try trim(keeping: count, maxAge: maxAge, maxBytes: maxBytes)
        }
    }

    /// Removes the journal with all its records, false if there was none; the task blocks no thread for a stopped
    /// process.
    ///
    /// Who appends after that begins a new one with record 1.
    ///
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled while it waits for a stopped
    ///   process: the journal may be removed all the same.
    @discardableResult
    nonisolated(nonsending)
        public func remove() async throws -> Bool
    {
        try await session.carryOut(onJournal: name) { () throws(StoreError) in try remove() }
    }
}

#endif
