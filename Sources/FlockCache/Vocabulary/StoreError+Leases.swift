internal import SystemCalls

// What is said of leases.

extension StoreError {
    static func leaseWaitEnded(_ key: Store.Key, _ holder: Holder?) -> StoreError {
        StoreError(
            .timedOut, "get the lease", key: key, holder: holder,
            reason: timedOut(heldBy: holder))
    }

    // MARK: Lost

    /// - Parameter found: the generation that is current, where there is one.
    package static func leaseLost(
        _ operation: String, _ key: Store.Key, holder: Holder?, asked: Store.Generation? = nil,
        found: Store.Generation? = nil
    ) -> StoreError {
        let generations =
            if let asked, let found { "it has generation \(found), not \(asked): " } else {
                "it was lost: "
            }
        return StoreError(
            .leaseLost, "\(operation) the lease", key: key, holder: holder,
            reason: holder.map { generations + "it is held by \($0); nothing was changed" }
                ?? "no process holds it: it was released, ended by force (lease release --force), or expired and was held by "
                + "another process since, or was never granted; nothing was changed"
        )
    }

    static func leaseLost(_ operation: String, _ key: Store.Key, released: Bool) -> StoreError {
        leaseLost(
            operation, key, released ? "it was released" : "it expired before it was renewed")
    }

    static func leaseLost(
        _ operation: String, _ key: Store.Key, owner liveness: Holder.Liveness
    ) -> StoreError {
        leaseLost(
            operation, key,
            liveness == .dead
                ? "it ended with its owner, which has exited"
                : "its owner is a process of another machine, and whether that is running cannot be told here"
        )
    }

    package static func leaseLost(
        _ operation: String, _ key: Store.Key, _ reason: String
    ) -> StoreError {
        StoreError(
            .leaseLost, "\(operation) the lease", key: key,
            reason: reason + "; nothing was changed")
    }

    /// What it protects was not begun.
    package static func leaseOver(_ key: Store.Key) -> StoreError {
        leaseLost(
            "keep", key,
            "it expired before its work began; allow a longer time to live")
    }

    // MARK: Requests

    static func badTimeToLive(_ key: Store.Key) -> StoreError {
        StoreError(
            .invalidKey, "acquire the lease", key: key,
            reason:
                "a time to live is at least a microsecond and at most \(Limits.timeToLiveInWords)"
        )
    }

    // MARK: Damage and devices

    static func damagedLease(
        _ path: String, keptAt kept: String?, takenFor time: Duration
    ) -> StoreError {
        StoreError(
            .inputOutput, "read the lease", path: path,
            reason: "its record was corrupt, and with it who has the lease; "
                + (kept.map { "the record was moved to \(printable($0)), and " } ?? "")
                + "the lease counts as taken for \(time.spoken); its holder, if there is one, loses it",
            isDamage: true)
    }

    static func unwrittenLease(_ path: String, _ errno: Errno) -> StoreError {
        StoreError(
            .unknownOutcome, "synchronise the lease", path: path, systemError: errno.code,
            reason: "\(errno.message), after it was written; it may have happened: look again")
    }

    /// A grant that was taken back.
    static func undoneLease(_ error: StoreError) -> StoreError {
        StoreError(
            .inputOutput, error.operation, path: error.path, systemError: error.systemError,
            reason: (error.systemError.map { Errno(code: $0).message } ?? "it failed")
                + "; the lease was not granted")
    }
}
