extension Store {
    /// Streams the entries: `while let entry = try entries.next()`.
    ///
    /// - Parameters:
    ///   - filter: claims, values, or both.
    ///   - prefix: only keys that begin with these bytes.
    /// - Throws: nothing yet; ``Entries/next()`` does. A store that is not there has no entries.
    public func entries<Prefix: KeyConvertible>(
        _ filter: Filter = .all, prefix: Prefix? = Key?.none
    ) throws(StoreError) -> Entries {
        Entries(session, filter, prefix: prefix?.storeKey)
    }

    /// How many entries there are, by one read of 16 KiB and a look at 256 directories, at any size of the store.
    ///
    /// Exact for each shard, also after any process was killed at any point, in a copied store, and where files
    /// were added or removed by hand more than a hundredth of a second ago (a tick of the kernel's clock).
    /// After a boot the first call counts the files, about a second per million.
    ///
    /// - Throws: what the system refuses. A store that is not there has none. That somebody is in the
    ///   middle of a change is no error, nor that a part of the store cannot be looked at: see
    ///   ``Counts/isExact``.
    public func counts() throws(StoreError) -> Counts { try session.counts(session.newPass()) }

    /// Removes what is stale and, within the limits given, what is old.
    ///
    /// Safe to run at any time, also twice at once, and to be killed. What is not provably stale stays.
    ///
    /// - Parameters:
    ///   - limits: what may go beyond what is stale; by default nothing.
    ///   - dryRun: only says what would be removed.
    /// - Returns: what was removed; leftovers that were no entries are not told.
    /// - Throws: what the system refuses; `.timedOut` when another process has been stopped in the middle
    ///   of a change for ten seconds. What cannot be read or removed is passed over, told to
    ///   ``Configuration/onPassedOver``, and the first such failure thrown at the end. What was removed stays
    ///   removed; `reap(_:dryRun:onReaped:)` tells it also then.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    @discardableResult
    public func reap(
        _ limits: ReapLimits = ReapLimits(), dryRun: Bool = false
    ) throws(StoreError) -> [Reaped] {
        var reaped: [Reaped] = []
        try reap(limits, dryRun: dryRun) { reaped.append($0) }
        return reaped
    }

    /// Removes what is stale and, within the limits given, what is old, and reports each removal as it happens.
    ///
    /// Nothing is kept in memory, and what was removed is reported also where reaping fails at its end.
    ///
    /// - Parameters:
    ///   - limits: what may go beyond what is stale; by default nothing.
    ///   - dryRun: only says what would be removed.
    ///   - onReaped: called for each entry after it was removed.
    /// - Throws: as `reap(_:dryRun:)`.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func reap(
        _ limits: ReapLimits = ReapLimits(), dryRun: Bool = false, onReaped: (Reaped) -> Void
    ) throws(StoreError) {
        try withoutActuallyEscaping(onReaped) { (report) throws(StoreError) in
            try session.reapAll(ReapRequest(limits, dryRun: dryRun, report: report))
        }
    }
}

extension Session {
    /// One pass over entries and leases.
    ///
    /// - Throws: at the end, the first failure that was passed over.
    package func reapAll(_ request: ReapRequest) throws(StoreError) {
        let pass = newPass()
        try reap(request, pass)
        try reapLeases(request.limits, dryRun: request.dryRun, pass, report: request.report)
        if !request.dryRun { try tendChanges(maxAge: request.limits.maxAge, pass) }
        try pass.finish()
    }
}
