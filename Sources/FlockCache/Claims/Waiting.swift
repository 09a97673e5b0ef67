internal import SystemCalls

extension Session {
    /// Claims a key, waiting for the end of a PENDING at most that long; nil waits without end.
    ///
    /// It looks again from time to time: after a millisecond first, after a twentieth of a second in
    /// the long run, so that the death of a holder is noticed without being told.
    ///
    /// Somebody else's change is waited for no longer than what is left of the wait, but for a second at
    /// least: changes take microseconds, and a busy machine is no stopped process.
    ///
    /// - Parameter whilePending: called at each look that found somebody else, with how long the wait
    ///   has been going on.
    /// - Returns: `.pending` when the wait ended first.
    package func claim(
        _ key: Store.Key, for owner: ClaimOwner, maxAge: Duration?, staleAfter: Duration?,
        waiting: Duration?, whilePending: (Holder, Duration) -> Void
    ) throws(StoreError) -> ClaimOutcome {
        let start = BootTime.now
        let deadline = waiting.map { start.advanced(by: $0) } ?? BootTime(nanoseconds: .max)
        var pause = Pause(shortest: 1_000_000, longest: 50_000_000, yields: 0)
        while true {
            let outcome = try claim(
                key, for: owner, maxAge: maxAge, staleAfter: staleAfter,
                patience: patience(until: deadline))
            guard case .pending(let holder) = outcome else { return outcome }
            let now = BootTime.now
            guard now < deadline else { return outcome }
            whilePending(holder, .nanoseconds(now.nanoseconds - start.nanoseconds))
            pause.next(until: deadline)
        }
    }

    private func patience(until deadline: BootTime) -> Duration {
        let left = Duration.nanoseconds(deadline.nanoseconds - BootTime.now.nanoseconds)
        return min(ShardMutex.patience, max(.seconds(1), left))
    }
}
