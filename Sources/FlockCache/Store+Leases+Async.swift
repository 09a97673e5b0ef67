#if Async

internal import SystemCalls

extension Store {
    /// Acquires a lease, waiting for it in the order of arrival; the task is suspended while it waits.
    ///
    /// This process holds the lease until it expires or is released. Its generation (fencing token) is higher than
    /// those of all earlier grants.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes; leases share no names with entries and locks.
    ///   - timeToLive: how long the lease lasts without a renewal; at least a microsecond.
    ///   - slots: how many may hold the lease at once, 1 to 4096.
    ///   - wait: how long at most; it never ends early.
    /// - Throws: `.timedOut`; `.wouldDeadlock` inside `withLease` of the same key; `.invalidKey`; what the system
    ///   refuses; and `CancellationError` when the task is cancelled while it waits. It then has no lease.
    nonisolated(nonsending)
        public func acquireLease(
            _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1,
            wait: Wait = .standard
        ) async throws -> Lease
    {
        let key = key.storeKey
        let span = WaitSpan(limit(of: wait))
        switch try await acquireLease(key, timeToLive, slots, span) {
        case .granted(let lease): return lease
        case .busy(let holder): throw StoreError.leaseWaitEnded(key, holder)
        }
    }

    /// Acquires a lease if it is free and nobody waits for it; does not wait for its holder.
    ///
    /// The task is suspended while another change of the same part of the store goes on.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - timeToLive: how long the lease lasts without a renewal; at least a microsecond.
    ///   - slots: how many may hold the lease at once, 1 to 4096.
    /// - Returns: nil where another thread, task or process holds it, or waits for it.
    /// - Throws: as the blocking form, and `CancellationError` when the task is cancelled. It then has no lease.
    nonisolated(nonsending)
        public func acquireLeaseIfAvailable(
            _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1
        ) async throws -> Lease?
    {
        let answer = try await acquireLease(
            key.storeKey, timeToLive, slots, WaitSpan(.zero), patience: Limits.patience)
        switch consume answer {
        case .granted(let lease): return lease
        case .busy: return nil
        }
    }

    private enum LeaseAnswer: ~Copyable {
        case granted(Lease)
        case busy(Holder?)
    }

    /// - Parameter patience: how long a stopped process is waited for; nil: as long as the span says.
    nonisolated(nonsending) private func acquireLease(
        _ key: Key, _ timeToLive: Duration, _ slots: Int, _ span: WaitSpan,
        patience: Duration? = nil
    ) async throws -> LeaseAnswer {
        let request = request(timeToLive, slots)
        var notice = WaitNotice(session.configuration)
        var stuck: WaitSpan?
        try request.check(key)
        let name = try EntryName(key)
        let attempt = LeaseAttempt(session, name, slots: slots, span)
        defer { attempt.giveUp() }
        while true {
            try Task.checkCancellation()
            if patience == nil, let rest = try attempt.step(isLate: false) {
                if let holder = try attempt.holder() { try tell(key, holder, slots, &notice) }
                switch try await session.wait(for: attempt, rest) {
                case .ready: break
                case .timedOut: return .busy(try attempt.holder())
                case .failed(let error): throw error
                case .cancelled: throw CancellationError()
                }
            }
            let outcome = try session.politely(
                key, span: span, patience: patience, stuck: &stuck
            ) {
                (shortPatience) throws(StoreError) in
                patience == nil
                    ? try session.tryLease(name, request, patience: shortPatience)
                    : try session.acquireLeaseNow(name, request, patience: shortPatience)
            }
            switch outcome {
            case .granted(let grant):
                return .granted(
                    Lease(session, key, grant, timeToLive: timeToLive, hasSlots: slots > 1))
            case .busy(let holder):
                if span.isOver { return .busy(holder) }
                try tell(key, holder, slots, &notice)
                attempt.noteBusy()
            case nil:
                if span.isOver, patience == nil { return .busy(nil) }
                let ticket = try session.drawTicket(
                    for: try session.claimSubject(key), until: stuck?.deadline ?? span.deadline,
                    forChange: false)
                defer { ticket.giveBack() }
                await ticket.wait()
            }
        }
    }

    /// Says who has a lease that is waited for, and refuses a wait that could not end.
    private func tell(
        _ key: Key, _ holder: Holder?, _ slots: Int, _ notice: inout WaitNotice
    ) throws(StoreError) {
        if slots == 1 { try session.checkWait(for: .lease, key, holder) }
        notice.tell(key, holder)
    }

    /// Runs an asynchronous closure as a child task under a lease, which is renewed at a third of its time to live.
    ///
    ///     try await store.withLease("primary", timeToLive: .seconds(30)) { generation in
    ///         while !Task.isCancelled { try await serve(generation) }
    ///     }
    ///
    /// The closure runs where the caller runs, such as on its actor, and the lease is released when it has ended. When
    /// the lease is lost, because this process was stopped for too long or the store could not be written, the child
    /// task is cancelled, and `.leaseLost` thrown after it has ended. Another process may have done the same work
    /// meanwhile; only the generation (fencing token) can keep its effects apart.
    ///
    /// A call for the same key inside the closure would wait for itself and is refused.
    ///
    /// - Parameters:
    ///   - key: 1 to 200 bytes.
    ///   - timeToLive: how long the lease lasts without a renewal.
    ///   - slots: how many may hold the lease at once, 1 to 4096.
    ///   - wait: how long to wait for the lease.
    ///   - body: gets the generation of the lease.
    /// - Throws: what the closure throws; `.leaseLost`; `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system
    ///   refuses; and `CancellationError` when the task is cancelled while it waits.
    nonisolated(nonsending)
        public func withLease<R: ~Copyable>(
            _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1,
            wait: Wait = .standard,
            _ body: nonisolated(nonsending) (Generation) async throws -> R
        ) async throws -> R
    {
        let key = key.storeKey
        let lease = try await acquireHeldLease(
            key, timeToLive: timeToLive, slots: slots, wait: wait)
        return try await session.run(body, under: lease, key, isolation: #isolation)
    }

    /// Runs a closure as a child task under a lease, which is renewed at a third of its time to live.
    ///
    /// As with an asynchronous closure: when the lease is lost the child task is cancelled, which the closure sees by
    /// `Task.isCancelled`, and `.leaseLost` is thrown after it has ended.
    ///
    /// - Throws: what the closure throws; `.leaseLost`; `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system
    ///   refuses; and `CancellationError` when the task is cancelled while it waits.
    nonisolated(nonsending)
        public func withLease<R: ~Copyable>(
            _ key: some KeyConvertible, timeToLive: Duration, slots: Int = 1,
            wait: Wait = .standard, _ body: (Generation) throws -> R
        ) async throws -> R
    {
        try await withLease(key, timeToLive: timeToLive, slots: slots, wait: wait) {
            (generation) async throws -> R in try body(generation)
        }
    }
}

extension Session {
    /// Runs a closure under a lease, and releases it.
    fileprivate func run<R: ~Copyable>(
        _ body: nonisolated(nonsending) (Store.Generation) async throws -> R,
        under lease: borrowing Lease, _ key: Store.Key, isolation: isolated (any Actor)?
    ) async throws -> R {
        let (generation, renewable) = (lease.generation, lease.renewable)
        return try await withoutActuallyEscaping(body) { body in
            let work = LeaseWork<R> {
                // It may have stood in a queue of tasks, or the machine suspended.
                guard renewable.timeLeft > .zero else { throw StoreError.leaseOver(key) }
                return try await body(generation)
            }
            return try await run(work, under: renewable, key, isolation: isolation)
        }
    }

    private func run<R: ~Copyable>(
        _ work: LeaseWork<R>, under renewable: any RenewableLease, _ key: Store.Key,
        isolation: isolated (any Actor)?
    ) async throws -> R {
        defer { work.end() }
        // Not `forWriting`, which would make a store anew that was removed since.
        guard let store = try existing() else {
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        let renewals = store.renewer.watch { LeaseRenewals() }
        let keeping = try renewals.keep(renewable, in: store) { work.cancel() }
        let result = await working(.lease, key, in: store) {
            await work.run(isolation: isolation)
        }
        // What ended after the lease was over, and before anybody saw that, may have been done beside somebody else.
        let isOver = renewable.timeLeft == .zero
        let isKept = renewals.stop(keeping, in: store) && !isOver
        // Where the store was moved another process may have the lease in the store that others find.
        if !isKept || store.files.isElsewhere {
            if !isKept, keeping.mayHang(in: store) {
                renewable.leave()
                throw StoreError.leaseLost("keep", key, holder: nil)
            }
            // Not by dropping it, which could block the thread that tasks share.
            try? await release(renewable, key)
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        // Lost in the last moment: what was done may have been done beside somebody else.
        try await release(renewable, key)
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
            try? await session.release(lease.renewable, key)
        }
        throw StoreError.leaseOver(key)
    }
}

extension Session {
    /// Releases the lease of a task: here if that can be done at once, otherwise on a thread of its own.
    ///
    /// Where the task is cancelled while another change of the shard is waited for, the thread goes on.
    nonisolated(nonsending) fileprivate func release(
        _ lease: any RenewableLease, _ key: Store.Key
    ) async throws(StoreError) {
        let error = await change(key) { () -> StoreError? in
            do throws(StoreError) {
                try lease.release()
                return nil
            } catch {
                return error
            }
        }
        if let error, let error { throw error }
    }
}

#endif
