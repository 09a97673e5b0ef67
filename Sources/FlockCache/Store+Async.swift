#if Async

// The same waits for tasks. None of them blocks the thread that its task runs on: what waits is a thread
// of the session's own, one however many tasks wait.

extension Store {
    /// Wins the key, or returns its entry; where somebody else is at it, waits for the end of that.
    ///
    /// As the form for threads, without blocking one.
    ///
    /// - Throws: as the form for threads, and `CancellationError` when the task is cancelled before it
    ///   has an answer; nothing is then left behind.
    nonisolated(nonsending)
        public func claim(
            _ key: some KeyConvertible, maxAge: Duration? = nil, staleAfter: Duration? = nil,
            wait: Wait
        ) async throws -> ClaimResult
    {
        let key = key.storeKey
        let span = WaitSpan(limit(of: wait))
        var notice = WaitNotice(session.configuration)
        var ticket: KeyTickets.Ticket?
        var stuck: WaitSpan?
        defer { ticket?.giveBack() }
        while true {
            try Task.checkCancellation()
            let outcome = try session.politely(key, span: span, stuck: &stuck) {
                (patience) throws(StoreError) in
                try session.claim(
                    key, for: .session, maxAge: maxAge.map { $0 + span.elapsed },
                    staleAfter: staleAfter, patience: patience)
            }
            if let outcome {
                guard case .pending(let holder) = outcome, !span.isOver else {
                    return try ClaimResult(outcome, of: key, in: session)
                }
                notice.tell(key, holder)
            }
            if let drawn = ticket { await drawn.wait() }
            ticket = try session.drawTicket(
                for: try session.claimSubject(key), until: stuck?.deadline ?? span.deadline,
                forChange: outcome != nil)
        }
    }

    /// Returns the value of a key, computed once across tasks, threads and processes.
    ///
    /// As the form for threads, without blocking one; the closure runs as it would be called here.
    ///
    /// - Throws: as the form for threads, and `CancellationError` when the task is cancelled while it
    ///   waits for somebody else.
    nonisolated(nonsending)
        public func value<B: Collection<UInt8>>(
            for key: some KeyConvertible, maxAge: Duration? = nil, wait: Wait = .standard,
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
                bytes = Array(try compute())
            } catch {
                await session.giveUp(claim)
                throw error
            }
            return try await session.finalize(claim, bytes)
        }
    }

    /// Returns the value of a key, computed once across tasks, threads and processes by an asynchronous
    /// closure.
    ///
    /// As the form with a synchronous closure.
    nonisolated(nonsending)
        public func value<B: Collection<UInt8>>(
            for key: some KeyConvertible, maxAge: Duration? = nil, wait: Wait = .standard,
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
                bytes = Array(try await compute())
            } catch {
                await session.giveUp(claim)
                throw error
            }
            return try await session.finalize(claim, bytes)
        }
    }
}

#endif
