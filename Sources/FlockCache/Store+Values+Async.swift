#if Async

// The same changes for tasks. None of them blocks the thread that its task runs on: behind a stopped process a thread of
// its own waits.

extension Store {
    /// Sets a value without a claim; the task blocks no thread for a stopped process.
    ///
    /// Readers see the old value or the new one, never neither and nothing torn. Of several that set a value on the
    /// same precondition exactly one succeeds. A claim that another process has on the key is left alone, and so is
    /// the key.
    ///
    /// - Parameters:
    ///   - bytes: up to 1 GiB; none is a value too.
    ///   - key: 1 to 200 bytes.
    ///   - precondition: what has to hold for anything to be changed.
    /// - Returns: `.updated` with the new entry; `.unchanged` where the precondition did not hold, with the entry as it
    ///   is just after; `.pending` with whoever is producing the value.
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled while it waits for a stopped
    ///   process: the value may be set all the same.
    @discardableResult
    nonisolated(nonsending)
        public func put(
            _ bytes: some Collection<UInt8>, for key: some KeyConvertible,
            if precondition: Precondition = .none
        ) async throws -> UpdateResult
    {
        let (key, copy) = (key.storeKey, Array(bytes))
        return try await session.carryOut(key) { () throws(StoreError) in
            try put(copy, for: key, if: precondition)
        }
    }

    /// Replaces the value by what a closure makes of it; the task blocks no thread for a stopped process.
    ///
    /// No lock is held while the closure runs. If the entry has changed meanwhile, the closure runs again, with the
    /// entry as it is then.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - transform: gets the entry, nil where the key has no value. Returns the new value, up to 1 GiB, or nil to
    ///     leave it as it is.
    /// - Returns: `.updated` with the new entry; `.unchanged` with the entry that the closure has left; `.pending` with
    ///   whoever is producing the value, and then the closure may not have run at all.
    /// - Throws: what the closure throws, and then nothing has changed; what `put` throws.
    @discardableResult
    nonisolated(nonsending)
        public func update(
            _ key: some KeyConvertible, _ transform: (Entry?) throws -> [UInt8]?
        ) async throws -> UpdateResult
    {
        try await update(key) { (entry) async throws in try transform(entry) }
    }

    /// Replaces the value by what an asynchronous closure makes of it; the task blocks no thread for a stopped process.
    ///
    ///     try await store.update("state") { entry in try await next(entry?.value) }
    ///
    /// No lock is held while the closure runs. If the entry has changed meanwhile, the closure runs again, with the
    /// entry as it is then.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - transform: gets the entry, nil where the key has no value. Returns the new value, up to 1 GiB, or nil to
    ///     leave it as it is.
    /// - Returns: `.updated` with the new entry; `.unchanged` with the entry that the closure has left; `.pending` with
    ///   whoever is producing the value, and then the closure may not have run at all.
    /// - Throws: what the closure throws, and then nothing has changed; what `put` throws.
    @discardableResult
    nonisolated(nonsending)
        public func update(
            _ key: some KeyConvertible,
            _ transform: nonisolated(nonsending) (Entry?) async throws -> [UInt8]?
        ) async throws -> UpdateResult
    {
        let key = key.storeKey
        while true {
            var entry: Entry?
            if let ready = try session.value(toUpdate: key) {
                switch ready {
                case .ready(let ready): entry = try ready.entry()
                case .pending(let holder): return .pending(holder)
                }
            }
            guard let bytes = try await transform(entry) else { return .unchanged(entry) }
            let result = try await put(
                bytes, for: key, if: entry.map { .generation($0.generation) } ?? .absent)
            if case .unchanged = result { continue }
            return result
        }
    }

    /// Adds to a decimal number, unless the sum would leave a range; the task blocks no thread for a stopped process.
    ///
    /// Exact however many threads, tasks and processes do it at once. An absent key counts as 0, and stays absent where
    /// the sum would leave the range.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - amount: may be negative.
    ///   - range: what the sum has to be in; of 64 bits it is in any case.
    /// - Returns: `.incremented` with the new number; `.outOfRange` with the number as it is, and nothing has
    ///   changed; `.pending` with whoever is producing the value.
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled while it waits for a stopped
    ///   process: the number may be incremented all the same.
    @discardableResult
    nonisolated(nonsending)
        public func increment(
            _ key: some KeyConvertible, by amount: Int64 = 1,
            within range: ClosedRange<Int64> = .min ... .max
        ) async throws -> IncrementResult
    {
        let key = key.storeKey
        return try await session.carryOut(key) { () throws(StoreError) in
            try increment(key, by: amount, within: range)
        }
    }

    /// Removes the entry, whether READY or, on request, PENDING; the task blocks no thread for a stopped process.
    ///
    /// - Returns: false if there was none, or it is claimed and `includingPending` was not asked for: then
    ///   nothing has changed. A value that is being computed anew counts as claimed.
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled while it waits for a stopped
    ///   process: the entry may be removed all the same.
    @discardableResult
    nonisolated(nonsending)
        public func remove(
            _ key: some KeyConvertible, includingPending: Bool = false
        ) async throws -> Bool
    {
        let key = key.storeKey
        return try await session.carryOut(key) { () throws(StoreError) in
            try remove(key, includingPending: includingPending)
        }
    }

    /// Removes what is stale and, within the limits given, what is old, on a thread of its own.
    ///
    /// - Parameters:
    ///   - limits: what may go beyond what is stale; by default nothing.
    ///   - dryRun: only says what would be removed.
    /// - Returns: what was removed; leftovers that were no entries are not told.
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled: what is removed is removed all
    ///   the same.
    @discardableResult
    nonisolated(nonsending)
        public func reap(
            _ limits: ReapLimits = ReapLimits(), dryRun: Bool = false
        ) async throws -> [Reaped]
    {
        try await session.carryOutOnOwnThread { () throws(StoreError) in
            try reap(limits, dryRun: dryRun)
        }
    }

    /// Removes what is stale and, within the limits given, what is old, on a thread of its own, and reports each removal
    /// as it happens.
    ///
    /// - Parameters:
    ///   - limits: what may go beyond what is stale; by default nothing.
    ///   - dryRun: only says what would be removed.
    ///   - onReaped: called for each entry after it was removed, on that thread, also after the task was cancelled.
    /// - Throws: as the blocking form; and `CancellationError` when the task is cancelled: what is removed is removed all
    ///   the same.
    nonisolated(nonsending)
        public func reap(
            _ limits: ReapLimits = ReapLimits(), dryRun: Bool = false,
            onReaped: @escaping @Sendable (Reaped) -> Void
        ) async throws
    {
        try await session.carryOutOnOwnThread { () throws(StoreError) in
            try reap(limits, dryRun: dryRun, onReaped: onReaped)
        }
    }
}

#endif
