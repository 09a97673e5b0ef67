#if Async

// The same waits for tasks. None of them blocks the thread that its task runs on: what waits is a thread
// of the session's own, one however many tasks wait.

extension Store {
    /// Claims a key, or returns its entry, waiting for the holder of its claim; the task is suspended while it waits.
    ///
    /// A key that is free is claimed at once. The wait does not poll: the call that publishes or abandons the key
    /// wakes its waiters, and the exit of a holder is noticed within a tenth of a second. Exactly one of the waiters
    /// then wins, and the others wait for that one. A call inside the computation of the same key would wait for
    /// itself, and is refused.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - maxAge: a value that was published longer before this call does not count.
    ///   - staleAfter: after this time the claim counts as stale although its holder is running; nil: never.
    ///   - wait: how long at most; it never ends early.
    /// - Returns: `.pending` when the call timed out.
    /// - Throws: as `claim(_:maxAge:staleAfter:)`, `.wouldDeadlock`, and `CancellationError` when the task is cancelled before it
    ///   has an answer; nothing is then left behind.
    nonisolated(nonsending)
        public func claim(
            _ key: some KeyConvertible, maxAge: Duration? = nil, staleAfter: Duration? = nil,
            wait: Wait
        ) async throws -> ClaimResult
    {
        try await claim(key.storeKey, maxAge, staleAfter, WaitSpan(limit(of: wait)))
    }

    /// Claims a key, or returns its entry or the holder of its claim; does not wait for that holder.
    ///
    /// A stale claim is taken over in this same call. The task is suspended while another change of the same part of
    /// the store goes on.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - maxAge: a value that was published longer ago does not count: the key is claimed, and readers go on seeing
    ///     the old value until the new one is published.
    ///   - staleAfter: after this time the claim counts as stale although its holder is running; nil: never.
    /// - Throws: as the blocking form, and `CancellationError` when the task is cancelled; nothing is then left behind.
    nonisolated(nonsending)
        public func claim(
            _ key: some KeyConvertible, maxAge: Duration? = nil, staleAfter: Duration? = nil
        ) async throws -> ClaimResult
    {
        try await claim(
            key.storeKey, maxAge, staleAfter, WaitSpan(.zero), patience: Limits.patience)
    }

    /// Claims a key if it has neither a value nor a holder; does not wait for that holder.
    ///
    ///     if let claim = try await store.claimIfAvailable(hash) {
    ///         try await claim.finalize(try await upload(file).utf8)
    ///     }
    ///
    /// - Returns: nil where the key is ready, or another thread, task or process holds the claim.
    /// - Throws: as the blocking form, and `CancellationError` when the task is cancelled; nothing is then left behind.
    nonisolated(nonsending)
        public func claimIfAvailable(
            _ key: some KeyConvertible, maxAge: Duration? = nil, staleAfter: Duration? = nil
        ) async throws -> Claim?
    {
        switch try await claim(key, maxAge: maxAge, staleAfter: staleAfter) {
        case .won(let claim): return claim
        case .ready: return nil
        case .pending: return nil
        }
    }

    /// - Parameter patience: how long a stopped process is waited for; nil: as long as the span says.
    nonisolated(nonsending) private func claim(
        _ key: Key, _ maxAge: Duration?, _ staleAfter: Duration?, _ span: WaitSpan,
        patience: Duration? = nil
    ) async throws -> ClaimResult {
        var notice = WaitNotice(session.configuration)
        var ticket: KeyTickets.Ticket?
        var stuck: WaitSpan?
        defer { ticket?.giveBack() }
        while true {
            try Task.checkCancellation()
            let outcome = try session.politely(
                key, span: span, patience: patience, stuck: &stuck
            ) {
                (patience) throws(StoreError) in
                try session.claim(
                    key, for: .session, maxAge: maxAge.map { $0 + span.elapsed },
                    staleAfter: staleAfter, patience: patience)
            }
            if let outcome {
                guard case .pending(let holder) = outcome, !span.isOver else {
                    return try ClaimResult(outcome, of: key, in: session)
                }
                try session.checkWait(for: .computation, key, holder)
                notice.tell(key, holder)
            }
            if let drawn = ticket { await drawn.wait() }
            ticket = try session.drawTicket(
                for: try session.claimSubject(key), until: stuck?.deadline ?? span.deadline,
                forChange: outcome != nil)
        }
    }

    /// Returns the value of a key, computed once across tasks, threads and processes; the task is suspended while it
    /// waits.
    ///
    /// Of all calls at once one runs its closure, with the caller's isolation; the others wait, and return the value
    /// that it made. If the closure throws, or its process exits, exactly one of the waiters runs its own. A call for
    /// the same key inside the closure would wait for itself, and is refused.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - maxAge: a value that was published longer before this call is computed again; until that is done, others
    ///     read the old one.
    ///   - wait: how long to wait for others at most; the closure's own time does not count.
    ///   - compute: returns up to 1 GiB.
    /// - Throws: what the closure throws, the claim being abandoned; `.timedOut`; `.claimLost` when the claim was
    ///   removed under the closure; `.wouldDeadlock`; what the system refuses; and `CancellationError` when the task
    ///   is cancelled while it waits, also for a stopped process when the value is to be published: it may then be
    ///   published all the same.
    nonisolated(nonsending)
        public func computeIfAbsent<B: Collection<UInt8>>(
            _ key: some KeyConvertible, maxAge: Duration? = nil, wait: Wait = .standard,
            compute: () throws -> B
        ) async throws -> Value
    {
        let key = key.storeKey
        switch try await claim(key, maxAge: maxAge, wait: wait) {
        case .ready(let entry): return entry.value
        case .pending(let holder): throw StoreError.waitEnded(key, holder)
        case .won(let claim):
            let bytes: [UInt8]
            do {
                bytes = Array(
                    try session.working(.computation, key, in: try session.forWriting(), compute))
            } catch {
                // What the closure has thrown says more.
                try? await claim.abandon()
                throw error
            }
            return try await claim.finalize(bytes).value
        }
    }

    /// Returns the value of a key, computed once across tasks, threads and processes by an asynchronous closure.
    ///
    ///     let page = try await store.computeIfAbsent("page-17") { try await render(17).utf8 }
    ///
    /// Of all calls at once one runs its closure, with the caller's isolation; the others wait, and return the value
    /// that it made. If the closure throws, or its process exits, exactly one of the waiters runs its own. A call for
    /// the same key inside the closure, or inside its child tasks, would wait for itself, and is refused.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - maxAge: a value that was published longer before this call is computed again; until that is done, others
    ///     read the old one.
    ///   - wait: how long to wait for others at most; the closure's own time does not count.
    ///   - compute: returns up to 1 GiB.
    /// - Throws: what the closure throws, the claim being abandoned; `.timedOut`; `.claimLost` when the claim was
    ///   removed under the closure; `.wouldDeadlock`; what the system refuses; and `CancellationError` when the task
    ///   is cancelled while it waits, also for a stopped process when the value is to be published: it may then be
    ///   published all the same.
    nonisolated(nonsending)
        public func computeIfAbsent<B: Collection<UInt8>>(
            _ key: some KeyConvertible, maxAge: Duration? = nil, wait: Wait = .standard,
            compute: nonisolated(nonsending) () async throws -> B
        ) async throws -> Value
    {
        let key = key.storeKey
        switch try await claim(key, maxAge: maxAge, wait: wait) {
        case .ready(let entry): return entry.value
        case .pending(let holder): throw StoreError.waitEnded(key, holder)
        case .won(let claim):
            let bytes: [UInt8]
            do {
                bytes = try await session.working(.computation, key, in: try session.forWriting()) {
                    Array(try await compute())
                }
            } catch {
                // What the closure has thrown says more.
                try? await claim.abandon()
                throw error
            }
            return try await claim.finalize(bytes).value
        }
    }
}

#endif
