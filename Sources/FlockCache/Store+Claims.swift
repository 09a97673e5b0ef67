internal import SystemCalls

extension Store {
    /// Claims a key, or returns its entry or the holder of its claim; does not wait.
    ///
    /// Of all threads, tasks and processes that claim a key at once exactly one wins. A claim whose holder
    /// has died, or whose time is over, is taken over in this same call. Whether a rival or a killed
    /// process interferes at any point, the key is afterwards claimed by exactly one, or published.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - maxAge: a value published longer ago does not count: the key is won, and readers go on
    ///     seeing the old value until the new one is there.
    ///   - staleAfter: after this time the claim counts as stale although its holder lives. Without it,
    ///     never.
    /// - Throws: `.invalidKey`; what the system refuses; `.timedOut` when another process has been stopped
    ///   in the middle of a change for ten seconds. That the key is taken is no error; nor is a damaged value,
    ///   which counts as absent.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func claim(
        _ key: some KeyConvertible, maxAge: Duration? = nil, staleAfter: Duration? = nil
    ) throws(StoreError) -> ClaimResult {
        let key = key.storeKey
        let outcome = try session.claim(
            key, for: .session, maxAge: maxAge, staleAfter: staleAfter)
        return try ClaimResult(outcome, of: key, in: session)
    }

    /// Claims a key if it has neither a value nor a holder; does not wait.
    ///
    /// For work that is done once and whose value the caller does not need:
    ///
    ///     if let claim = try store.claimIfAvailable(hash) {
    ///         try claim.finalize(try upload(file).utf8)
    ///     }
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - maxAge: a value published longer ago does not count: the key is claimed, and readers go on
    ///     seeing the old value until the new one is published.
    ///   - staleAfter: after this time the claim counts as stale although its holder is running; nil: never.
    /// - Returns: nil where the key is ready, or another thread, task or process holds the claim.
    /// - Throws: as `claim(_:maxAge:staleAfter:)`.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func claimIfAvailable(
        _ key: some KeyConvertible, maxAge: Duration? = nil, staleAfter: Duration? = nil
    ) throws(StoreError) -> Claim? {
        switch try claim(key, maxAge: maxAge, staleAfter: staleAfter) {
        case .won(let claim): claim
        case .ready: nil
        case .pending: nil
        }
    }

    /// Returns the entry of a READY key, or nil: absent, claimed, older than `maxAge`, or damaged.
    ///
    /// Takes no lock. A key that is READY throughout the call is never reported absent, nor is anything
    /// but a whole value returned.
    ///
    /// - Throws: `.invalidKey`, and what the system refuses. A damaged value is no error: it is set aside
    ///   and reported through ``Configuration/onDamage``.
    public func entry(
        for key: some KeyConvertible, maxAge: Duration? = nil
    ) throws(StoreError) -> Entry? {
        try session.entry(for: key.storeKey, maxAge: maxAge)
    }

    /// Removes the entry, whether READY or, on request, PENDING.
    ///
    /// - Returns: false if there was none, or it is claimed and `includingPending` was not asked for: then
    ///   nothing has changed. A value that is being computed anew counts as claimed.
    /// - Throws: `.invalidKey`; what the system refuses; `.timedOut` as `claim(_:maxAge:staleAfter:)`.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    @discardableResult
    public func remove(
        _ key: some KeyConvertible, includingPending: Bool = false
    ) throws(StoreError) -> Bool {
        if case .removed = try session.remove(key.storeKey, includingPending: includingPending) {
            true
        } else {
            false
        }
    }
}
