extension Store {
    /// Streams the entries: `while let entry = try entries.next()`.
    ///
    /// - Parameter prefix: only keys that begin with these bytes.
    /// - Throws: what the system refuses. A store that is not there has no entries.
    public func entries(
        _ filter: Filter = .all, prefix: Key? = nil
    ) throws(StoreError) -> Entries {
        Entries(session, filter, prefix: prefix)
    }

    /// How many entries there are, by one read of 16 KiB at any size of the store.
    ///
    /// Exact for each shard, also after any process was killed at any point, and in a copied store.
    /// After a boot the first call counts the files, about a second per million.
    public func counts() throws(StoreError) -> Counts { try session.counts() }

    /// Removes what is stale and, within the limits given, what is old.
    ///
    /// Safe to run at any time, also twice at once, and to be killed. What is not provably stale stays.
    ///
    /// - Parameter dryRun: only says what would be removed.
    /// - Returns: what was removed.
    @discardableResult
    public func reap(
        _ limits: ReapLimits = ReapLimits(), dryRun: Bool = false
    ) throws(StoreError) -> [Reaped] {
        var reaped: [Reaped] = []
        try session.reap(ReapRequest(limits, dryRun: dryRun) { reaped.append($0) })
        return reaped
    }
}
