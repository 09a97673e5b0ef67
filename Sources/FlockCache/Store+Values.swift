internal import SystemCalls

extension Store {
    /// Sets a value without a claim.
    ///
    /// Readers see the old value or the new one, never neither and nothing torn. Of several that set a value on the
    /// same precondition, such as that the key is absent, exactly one succeeds. A claim that somebody has on the key
    /// is left alone, and so is the key, also where its value is being computed anew; one whose holder has died, or
    /// whose time is over, does not count. Who waits for the key is woken.
    ///
    /// In a store that is not durable a power cut within some seconds may leave the key absent, without the old
    /// value, where this has replaced one.
    ///
    /// - Parameters:
    ///   - bytes: up to 1 GiB; none is a value too.
    ///   - key: 1 to 200 bytes.
    ///   - precondition: what has to hold for anything to be changed.
    /// - Returns: `.updated` with the new entry, whose generation is higher than any the key had;
    ///   `.unchanged` where the precondition did not hold, with the entry as it is just after, nil where there is
    ///   none; `.pending` with whoever is producing the value.
    /// - Throws: `.invalidKey`; what the system refuses, and then nothing has changed; `.unknownOutcome` where it
    ///   failed after the decisive step; `.timedOut` as `claim(_:maxAge:staleAfter:)`.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    @discardableResult
    public func put(
        _ bytes: some Collection<UInt8>, for key: some KeyConvertible,
        if precondition: Precondition = .none
    ) throws(StoreError) -> UpdateResult {
        let key = key.storeKey
        let copy = Array(bytes)
        let outcome = try unsafe copy.span.withUnsafeBytes { (bytes) throws(StoreError) in
            try unsafe session.put(key, .bytes(bytes), if: precondition)
        }
        switch outcome {
        case .set(let generation):
            return .updated(
                Entry(key: key, value: Value(copy), generation: generation, age: .zero))
        case .unmet: return .unchanged(try session.entry(for: key, maxAge: nil))
        case .pending(let holder): return .pending(holder)
        }
    }

    /// Replaces the value by what a closure makes of it.
    ///
    /// No lock is held while the closure runs, so it may take long, and may use the store. If the entry has changed
    /// meanwhile, the closure runs again, with the entry as it is then: what it does besides may happen more than
    /// once. The value is set as by `put(_:for:if:)`.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - transform: gets the entry, nil where the key has no value; a damaged value is none. Returns the new
    ///     value, up to 1 GiB, or nil to leave it as it is.
    /// - Returns: `.updated` with the new entry; `.unchanged` with the entry that the closure has left;
    ///   `.pending` with whoever is producing the value, and then the closure may not have run at all.
    /// - Throws: what the closure throws, and then nothing has changed; what `put(_:for:if:)` throws.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    @discardableResult
    public func update(
        _ key: some KeyConvertible, _ transform: (Entry?) throws -> [UInt8]?
    ) throws -> UpdateResult {
        let key = key.storeKey
        while true {
            var entry: Entry?
            if let ready = try session.value(toUpdate: key) {
                switch ready {
                case .ready(let ready): entry = try ready.entry()
                case .pending(let holder): return .pending(holder)
                }
            }
            guard let bytes = try transform(entry) else { return .unchanged(entry) }
            let result = try put(
                bytes, for: key, if: entry.map { .generation($0.generation) } ?? .absent)
            if case .unchanged = result { continue }
            return result
        }
    }

    /// Adds to a decimal number, unless the sum would leave a range.
    ///
    /// Exact however many threads and processes do it at once, and whoever of them is killed: no increment that was
    /// acknowledged is lost, and none is counted twice. The key is then READY with the digits as its value, for
    /// every other call as any value; its age counts from the last increment. An absent key counts as 0, and stays
    /// absent where the sum would leave the range. A value that was set otherwise is a number where it is decimal
    /// digits, with `-` or `+` before them or not, leading zeros or not, and one line's end behind them or not.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - amount: may be negative.
    ///   - range: what the sum has to be in; of 64 bits it is in any case.
    /// - Returns: `.incremented` with the new number; `.outOfRange` with the number as it is, and nothing has
    ///   changed; `.pending` with whoever is producing the value.
    /// - Throws: `.notANumber` where the value is no number, or was damaged (it is then set aside, and the key
    ///   is absent); `.invalidKey`; what the system refuses; `.unknownOutcome` where it failed after the
    ///   decisive step; `.timedOut` as `claim(_:maxAge:staleAfter:)`.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    @discardableResult
    public func increment(
        _ key: some KeyConvertible, by amount: Int64 = 1,
        within range: ClosedRange<Int64> = .min ... .max
    ) throws(StoreError) -> IncrementResult {
        switch try session.increment(key.storeKey, by: amount, within: range) {
        case .counted(let number, _): return .incremented(number)
        case .outOfRange(let number): return .outOfRange(number)
        case .pending(let holder): return .pending(holder)
        }
    }
}
