#if Async

// The same waits for tasks. None of them blocks the thread that its task runs on.

extension Store {
    /// Takes the locks of the keys, and returns them as one value; the task is suspended while it waits.
    ///
    ///     let lock = try await store.lock("accounts/a", "accounts/b", wait: .seconds(5))
    ///     defer { lock.release() }
    ///
    /// Order, fairness and what is refused are as for the blocking form. The locks belong to this task: child tasks
    /// may wait for preceding keys undetected, which `withLock` refuses them. Keep the value that is returned:
    /// `_ = try await store.lock(…)` releases the locks at once.
    ///
    /// - Throws: `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system refuses; and `CancellationError` when
    ///   the task is cancelled while it waits. Nothing is then held.
    nonisolated(nonsending)
        public func lock<K: KeyConvertible>(
            _ keys: K..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard
        ) async throws -> HeldLock
    {
        try await lock(keys, mode: mode, wait: wait)
    }

    /// Takes the locks of a collection of keys, and returns them as one value; the task is suspended while it
    /// waits.
    ///
    /// - Throws: `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system refuses; and `CancellationError` when
    ///   the task is cancelled while it waits. Nothing is then held.
    nonisolated(nonsending)
        public func lock(
            _ keys: some Collection<some KeyConvertible>, mode: HeldLock.Mode = .exclusive,
            wait: Wait = .standard
        ) async throws -> HeldLock
    {
        try Task.checkCancellation()
        let keys = keys.map { $0.storeKey }
        let names = try LockName.inOrder(keys)
        try mode.check(names)
        let limit = limit(of: wait)
        let span = WaitSpan(limit)
        if limit == .zero {
            guard let held = try lockIfAvailable(keys, mode: mode) else {
                throw StoreError.lockWaitEnded(names.first?.key, nil)
            }
            return held
        }
        let owner = HeldKeys.Owner.current
        try session.checkOrder(of: names, for: owner)
        let attempt = LockAttempt(session, names, mode, span)
        if let rest = try attempt.step(isLate: false) {
            var notice = WaitNotice(session.configuration)
            notice.tell(attempt)
            switch try await session.wait(for: attempt, rest) {
            case .ready: break
            case .timedOut:
                defer { attempt.giveUp() }
                throw StoreError.lockWaitEnded(attempt.awaited, attempt.holder())
            case .failed(let error): throw error
            case .cancelled: throw CancellationError()
            }
        }
        return attempt.heldLock(for: owner)
    }

    /// Runs a closure while holding the locks of the keys; the task is suspended while it waits.
    ///
    /// The locks are taken as `lock` takes them, and released when the closure returns or throws.
    ///
    /// - Throws: what the closure throws; `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system refuses;
    ///   `.lockLost` after the closure has returned, when a lock was lost meanwhile (see ``Store/HeldLock/isLost``); and
    ///   `CancellationError` when the task is cancelled while it waits.
    nonisolated(nonsending)
        public func withLock<K: KeyConvertible, R: ~Copyable>(
            _ keys: K..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard,
            _ body: () throws -> R
        ) async throws -> R
    {
        try await withLock(keys, mode: mode, wait: wait, body)
    }

    /// Runs a closure while holding the locks of a collection of keys; the task is suspended while it waits.
    ///
    /// - Throws: as `withLock` with the keys one by one.
    nonisolated(nonsending)
        public func withLock<R: ~Copyable>(
            _ keys: some Collection<some KeyConvertible>, mode: HeldLock.Mode = .exclusive,
            wait: Wait = .standard, _ body: () throws -> R
        ) async throws -> R
    {
        let lock = try await lock(keys, mode: mode, wait: wait)
        defer { lock.release() }
        let result = try body()
        try lock.held.checkKept()
        return result
    }

    /// Runs an asynchronous closure while holding the locks of the keys; the task is suspended while it waits.
    ///
    ///     try await store.withLock("accounts/a", "accounts/b") { try await transfer() }
    ///
    /// The locks are taken as `lock` takes them, and released when the closure returns or throws. Child tasks of the
    /// closure are refused the same keys as the closure itself.
    ///
    /// - Throws: what the closure throws; `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system refuses;
    ///   `.lockLost` after the closure has returned, when a lock was lost meanwhile (see ``Store/HeldLock/isLost``); and
    ///   `CancellationError` when the task is cancelled while it waits.
    nonisolated(nonsending)
        public func withLock<K: KeyConvertible, R: ~Copyable>(
            _ keys: K..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard,
            _ body: nonisolated(nonsending) () async throws -> R
        ) async throws -> R
    {
        try await withLock(keys, mode: mode, wait: wait, body)
    }

    /// Runs an asynchronous closure while holding the locks of a collection of keys; the task is suspended while it
    /// waits.
    ///
    ///     try await store.withLock(hosts.map { "hosts/\($0)" }) { try await deploy(to: hosts) }
    ///
    /// - Throws: as `withLock` with the keys one by one.
    nonisolated(nonsending)
        public func withLock<R: ~Copyable>(
            _ keys: some Collection<some KeyConvertible>, mode: HeldLock.Mode = .exclusive,
            wait: Wait = .standard, _ body: nonisolated(nonsending) () async throws -> R
        ) async throws -> R
    {
        let lock = try await lock(keys, mode: mode, wait: wait)
        defer { lock.release() }
        var result: R?
        try await HeldByTask.$current.withValue(HeldByTask(lock.held)) {
            result = try await body()
        }
        try lock.held.checkKept()
        guard let result = result.take() else { preconditionFailure("the closure has returned") }
        return result
    }
}

#endif
