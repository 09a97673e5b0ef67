#if Async

internal import Synchronization
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
            _ key: Key, timeToLive: Duration, slots: Int = 1, wait: Wait = .standard
        ) async throws -> Lease
    {
        try Task.checkCancellation()
        let request = request(timeToLive, slots)
        var outcome = try session.tryLeaseAtOnce(key, request)
        if case .granted? = outcome {
        } else {
            outcome = try await session.acquireInThread(key, request, waiting: limit(of: wait))
        }
        switch outcome {
        case .granted(let grant):
            let lease = Lease(session, key, grant, timeToLive: timeToLive, hasSlots: slots > 1)
            // Cancelled in the last moment: dropped, and with that released.
            try Task.checkCancellation()
            return lease
        case .busy(let holder): throw StoreError.leaseWaitEnded(key, holder)
        case nil: throw StoreError.leaseWaitEnded(key, nil)
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
        let lease = try await acquireLease(key, timeToLive: timeToLive, slots: slots, wait: wait)
        let generation = lease.generation
        let keeper = try session.leaseKeeper()
        let isLost = Flag()
        let work = Task { try await body(generation) }
        let keeping: LeaseKeeper.Keeping
        do throws(StoreError) {
            keeping = try keeper.keep(lease.renewable) {
                isLost.set()
                work.cancel()
            }
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
        keeper.stop(keeping)
        if isLost.isSet {
            // Not by dropping it, which could block the thread that tasks share.
            try? await session.release(lease, key)
            throw StoreError.leaseLost("keep", key, holder: nil)
        }
        // Lost in the last moment: what was done may have been done beside somebody else.
        try await session.release(lease, key)
        return try result.get()
    }
}

/// Something that happens once.
private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

extension Session {
    fileprivate func leaseKeeper() throws(StoreError) -> LeaseKeeper {
        let store = try forWriting()
        return store.withLazy { lazy in
            if let known = lazy.leaseKeeper { return known }
            let fresh = LeaseKeeper()
            lazy.leaseKeeper = fresh
            return fresh
        }
    }

    /// Grants a lease if that takes no longer than a task may wait on the thread it shares with others; nil
    /// where it would.
    fileprivate func tryLeaseAtOnce(
        _ key: Store.Key, _ request: LeaseRequest
    ) throws(StoreError) -> LeaseOutcome? {
        do throws(StoreError) {
            try request.check()
            return try tryLease(try EntryName(key), request, patience: Self.politePatience)
        } catch {
            if error.code == .timedOut { return nil }
            throw error
        }
    }

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

    /// Waits for a lease on a thread of its own; those who wait for one are few.
    nonisolated(nonsending) fileprivate func acquireInThread(
        _ key: Store.Key, _ request: LeaseRequest, waiting: Duration?
    ) async throws -> LeaseOutcome {
        let isCancelled = Flag()
        let store = try forWriting()
        let shard = try EntryName(key).shard
        let notify = configuration.onWait
        let result: Result<LeaseOutcome, any Error> = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                @Sendable func wait() -> Result<LeaseOutcome, any Error> {
                    var notice: (@Sendable (Store.Key, Holder?) -> Void)? = notify
                    do throws(StoreError) {
                        let outcome = try self.acquireLease(key, request, waiting: waiting) {
                            (holder, _) throws(StoreError) in
                            notice?(key, holder)
                            notice = nil
                            if isCancelled.isSet { throw .leaseWaitEnded(key, holder) }
                        }
                        return .success(outcome)
                    } catch {
                        return .failure(isCancelled.isSet ? CancellationError() : error)
                    }
                }
                do throws(Errno) {
                    try startThread { continuation.resume(returning: wait()) }
                } catch {
                    continuation.resume(
                        returning: .failure(StoreError(error, "start a thread", path: self.path)))
                }
            }
        } onCancel: {
            isCancelled.set()
            // The others who wait for keys of the shard look once in vain.
            store.knownBoard?.call(.keys(shard), bits: .max)
        }
        return try result.get()
    }
}

#endif
