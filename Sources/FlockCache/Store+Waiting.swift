extension Store {
    /// Claims a key, or returns its entry, waiting for the holder of its claim; blocks the thread while it waits.
    ///
    /// A key that is free is claimed at once. The wait does not poll: the call that publishes or abandons the key
    /// wakes its waiters, and the exit of a holder is noticed within a tenth of a second. Exactly one of the waiters
    /// then wins, and the others wait for that one.
    ///
    /// A call inside the computation of the same key would wait for itself, and is refused.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - staleAfter: after this time the claim counts as stale although its holder is running; nil: never.
    ///   - maxAge: counts from when this was called: what is published after that is fresh enough.
    ///   - wait: how long at most, by a clock that runs through suspend. It never ends early.
    /// - Returns: `.pending` when the wait ended first.
    /// - Throws: as `claim(_:maxAge:staleAfter:)`, and `.wouldDeadlock`.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func claim(
        _ key: some KeyConvertible, maxAge: Duration? = nil, staleAfter: Duration? = nil, wait: Wait
    ) throws(StoreError) -> ClaimResult {
        let key = key.storeKey
        var notice = WaitNotice(session.configuration)
        let outcome = try session.claim(
            key, for: .session, maxAge: maxAge, staleAfter: staleAfter,
            waiting: blockingLimit(of: wait),
            whilePending: { (holder, _) throws(StoreError) in
                try session.checkWait(for: .computation, key, holder)
                notice.tell(key, holder)
            })
        return try ClaimResult(outcome, of: key, in: session)
    }

    /// Returns the value of a key, computed once across threads and processes; blocks the thread while it waits.
    ///
    /// Of all that ask at once one runs its closure; the others wait, and get the value that it returned.
    /// If the closure throws, or its process dies, exactly one of those who wait runs its own. The closure
    /// runs without a lock of any kind. A call for the same key inside it would wait for itself, and is refused.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - maxAge: a value that was published longer before this call is computed anew; until that is
    ///     done, others read the old one.
    ///   - wait: how long to wait for others at most; the closure's own time does not count.
    ///   - compute: returns up to 1 GiB.
    /// - Throws: what the closure throws, the claim being given up; `.timedOut` when the wait ended while
    ///   somebody else was at it; `.claimLost` when the claim was removed under the closure; what the
    ///   system refuses; `.wouldDeadlock`.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func computeIfAbsent<B: Collection<UInt8>>(
        _ key: some KeyConvertible, maxAge: Duration? = nil, wait: Wait = .standard,
        compute: () throws -> B
    ) throws -> Value {
        let key = key.storeKey
        switch try claim(key, maxAge: maxAge, wait: wait) {
        case .ready(let entry): return entry.value
        case .pending(let holder): throw StoreError.waitEnded(key, holder)
        // Where this throws the claim is dropped, and with that given up.
        case .won(let claim):
            let bytes = try session.working(
                .computation, key, in: try session.forWriting(), compute)
            return try claim.finalize(bytes).value
        }
    }

    /// How long a call may block its thread; nil is without end.
    ///
    /// In a task it always ends: the thread is one of the few that all tasks share, and what the call waits for may need
    /// it.
    func blockingLimit(of wait: Wait) -> Duration? {
        let limit = limit(of: wait)
        #if Async
        if limit == nil, unsafe withUnsafeCurrentTask(body: { unsafe $0 != nil }) {
            return Configuration.standardWait
        }
        #endif
        return limit
    }

    /// How long a wait may take; nil is without end.
    func limit(of wait: Wait) -> Duration? {
        switch wait {
        case .upTo(let limit): limit
        case .forever: nil
        case .standard:
            switch session.configuration.wait {
            case .upTo(let limit): limit
            case .forever: nil
            case .standard: Configuration.standardWait
            }
        }
    }
}

extension Store.ClaimResult {
    init(_ outcome: ClaimOutcome, of key: Store.Key, in session: Session) throws(StoreError) {
        switch outcome {
        case .won(let generation, _): self = .won(Claim(session, key, generation))
        case .ready(let ready): self = .ready(try ready.entry())
        case .pending(let holder): self = .pending(holder)
        }
    }
}

/// Tells a program once that a wait has begun.
struct WaitNotice {
    private var listener: (@Sendable (Store.Key, Holder?) -> Void)?

    init(_ configuration: Store.Configuration) { listener = configuration.onWait }

    mutating func tell(_ key: Store.Key, _ holder: Holder?) {
        listener?(key, holder)
        listener = nil
    }

    mutating func tell(_ attempt: LockAttempt) {
        if listener != nil, let key = attempt.awaited { tell(key, attempt.holder()) }
    }
}
