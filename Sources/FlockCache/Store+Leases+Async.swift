#if Async

internal import SystemCalls

extension Store {
    /// Acquires a lease, waiting for it.
    ///
    /// As the form for threads, without blocking one.
    ///
    /// - Throws: as the form for threads, and `CancellationError` when the task is cancelled while it waits;
    ///   it then has no lease.
    nonisolated(nonsending)
        public func acquireLease(
            _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1,
            wait: Wait = .standard
        ) async throws -> Lease
    {
        let key = key.storeKey
        let request = request(timeToLive, slots)
        let span = WaitSpan(limit(of: wait))
        var notice = WaitNotice(session.configuration)
        var ticket: KeyTickets.Ticket?
        var stuck: WaitSpan?
        defer { ticket?.giveBack() }
        try request.check(key)
        while true {
            try Task.checkCancellation()
            let outcome = try session.politely(key, span: span, stuck: &stuck) {
                (patience) throws(StoreError) in
                try session.tryLease(try EntryName(key), request, patience: patience)
            }
            switch outcome {
            case .granted(let grant):
                return Lease(session, key, grant, timeToLive: timeToLive, hasSlots: slots > 1)
            case .busy(let holder):
                if span.isOver { throw StoreError.leaseWaitEnded(key, holder) }
                notice.tell(key, holder)
            case nil:
                if span.isOver { throw StoreError.leaseWaitEnded(key, nil) }
            }
            if let drawn = ticket { await drawn.wait() }
            ticket = try session.drawTicket(
                for: try session.leaseSubject(key, slots: slots),
                until: stuck?.deadline ?? span.deadline, forChange: outcome != nil)
        }
    }

    /// Runs a closure as a child task under a lease that is renewed at a third of its time to live.
    ///
    /// When the closure has ended the lease is released at once. When the lease is lost, because this process
    /// was stopped for too long or the store could not be written, the task is cancelled, and `.leaseLost`
    /// thrown after it has ended: it may still have the result of work that others do too, which only the
    /// generation can fence off.
    ///
    /// - Throws: what the closure throws, `.leaseLost`, and as
    ///   ``acquireLease(_:timeToLive:slots:wait:)``.
    nonisolated(nonsending)
        public func withLease<R: Sendable>(
            _ key: Key, timeToLive: Duration, slots: Int = 1, wait: Wait = .standard,
            _ body: @escaping @Sendable (Generation) async throws -> R
        ) async throws -> R
    {
        let lease = try await acquireHeldLease(
            key, timeToLive: timeToLive, slots: slots, wait: wait)
        let (generation, renewable) = (lease.generation, lease.renewable)
        // Not `forWriting`, which would make a store anew that was removed since.
        guard let store = try session.existing() else {
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        let renewals = store.renewer.watch { LeaseRenewals() }
        let work = Task {
            // It may have stood in a queue of tasks, or the machine suspended.
            guard renewable.timeLeft > .zero else { throw StoreError.leaseOver(key) }
            return try await body(generation)
        }
        let keeping: LeaseRenewals.Keeping
        do throws(StoreError) {
            keeping = try renewals.keep(renewable, in: store) { work.cancel() }
        } catch {
            work.cancel()
            _ = await work.result
            throw error
        }
        let result = await withTaskCancellationHandler {
            await work.result
        } onCancel: {
            work.cancel()
        }
        // What ended after the lease was over, and before anybody saw that, may have been done beside somebody else.
        let isOver = renewable.timeLeft == .zero
        guard renewals.stop(keeping, in: store), !isOver else {
            // Not by dropping it, which could block the thread that tasks share.
            try? await session.release(lease, key)
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        if store.files.isElsewhere {
            // Another process may have it in the store that others find.
            try? await session.release(lease, key)
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        // Lost in the last moment: what was done may have been done beside somebody else.
        try await session.release(lease, key)
        return try result.get()
    }
}

extension Store {
    /// Acquires a lease that is not over when it is returned.
    ///
    /// One that is was granted before this process was stopped or the machine suspended; it is asked for again.
    nonisolated(nonsending) private func acquireHeldLease(
        _ key: Key, timeToLive: Duration, slots: Int, wait: Wait
    ) async throws -> Lease {
        for _ in 0..<Limits.leaseTries {
            let lease = try await acquireLease(
                key, timeToLive: timeToLive, slots: slots, wait: wait)
            if lease.timeLeft > .zero { return lease }
            // It is over: where it cannot be released, that changes nothing.
            try? await session.release(lease, key)
        }
        throw StoreError.leaseOver(key)
    }
}

extension Session {
    /// Releases the lease of a task: here if that can be done at once, otherwise on a thread of its own.
    nonisolated(nonsending) fileprivate func release(
        _ lease: consuming Lease, _ key: Store.Key
    ) async throws(StoreError) {
        let ticket = lease.renewable
        let error = await change(key) { () -> StoreError? in
            do throws(StoreError) {
                try ticket.release()
                return nil
            } catch {
                return error
            }
        }
        if let error { throw error }
    }
}

#endif
