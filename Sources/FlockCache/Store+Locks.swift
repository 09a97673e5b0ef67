// Locks. The order in which they are taken, and what is refused, is in `LockName` and `HeldKeys`; how they
// are waited for in `KeyLock`. Each call has a form that takes keys one by one and one that takes a collection.

extension Store {
    /// Takes the locks of the keys, and returns them as one value; blocks the thread while it waits.
    ///
    ///     let lock = try store.lock("accounts/a", "accounts/b", wait: .seconds(5))
    ///     defer { lock.release() }
    ///
    /// Waiters for a key, shared and exclusive alike, are served in order of arrival, and sleep until it is their turn.
    /// Keys may be named in any order, and twice: they are taken in ascending order of their bytes, so that
    /// two calls that name several keys never wait for each other.
    ///
    /// Locks that are taken one call after the other must be asked for in that order. A call for a key that
    /// precedes or equals one that its thread, its task or an ancestor process holds is
    /// refused at once, because it could deadlock; unless it does not wait at all. Threads and tasks
    /// that wait for one another in other ways are not detected.
    ///
    /// Keep the value that is returned: `_ = try store.lock(…)` releases the locks at once.
    ///
    /// - Parameters:
    ///   - keys: up to 4096 bytes each. Locks share no names with entries and leases.
    ///   - mode: who else may hold the locks at the same time.
    ///   - wait: how long to wait for all of them together, not counting a suspend of the machine. When the call times out
    ///     nothing is held. In a task `.forever` is 300 s: see ``Wait/forever``.
    /// - Throws: `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system refuses.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func lock<K: KeyConvertible>(
        _ keys: K..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard
    ) throws(StoreError) -> HeldLock {
        try lock(keys, mode: mode, wait: wait)
    }

    /// Takes the locks of a collection of keys, and returns them as one value; blocks the thread while it waits.
    ///
    /// An empty collection is nothing to wait for. All else is as for `lock` with the keys one by one.
    ///
    /// - Throws: `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system refuses.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func lock(
        _ keys: some Collection<some KeyConvertible>, mode: HeldLock.Mode = .exclusive,
        wait: Wait = .standard
    ) throws(StoreError) -> HeldLock {
        var notice = WaitNotice(session.configuration)
        let outcome = try session.lock(
            keys.map { $0.storeKey }, mode, waiting: blockingLimit(of: wait)
        ) { attempt in
            notice.tell(attempt)
        }
        switch consume outcome {
        case .held(let lock): return lock
        case .busy(let key, let holder): throw .lockWaitEnded(key, holder)
        }
    }

    /// Takes the locks of the keys if all are free now, otherwise none; does not wait.
    ///
    /// A lock that others wait for is not free, unless it has no holder.
    ///
    /// - Returns: nil where another thread, task or process holds one of them.
    /// - Throws: `.invalidKey`; what the system refuses. Never `.wouldDeadlock`: it does not wait.
    public func lockIfAvailable<K: KeyConvertible>(
        _ keys: K..., mode: HeldLock.Mode = .exclusive
    ) throws(StoreError) -> HeldLock? {
        try lockIfAvailable(keys, mode: mode)
    }

    /// Takes the locks of a collection of keys if all are free now, otherwise none; does not wait.
    ///
    /// - Returns: nil where another thread, task or process holds one of them.
    /// - Throws: `.invalidKey`; what the system refuses.
    public func lockIfAvailable(
        _ keys: some Collection<some KeyConvertible>, mode: HeldLock.Mode = .exclusive
    ) throws(StoreError) -> HeldLock? {
        let outcome = try session.lock(keys.map { $0.storeKey }, mode, waiting: .zero) { _ in }
        switch consume outcome {
        case .held(let lock): return lock
        case .busy: return nil
        }
    }

    /// Runs a closure while holding the locks of the keys; blocks the thread while it waits.
    ///
    ///     try store.withLock("accounts/a", "accounts/b") { try transfer() }
    ///
    /// The locks are taken as `lock` takes them, and released when the closure returns or throws.
    ///
    /// - Throws: what the closure throws; `.timedOut`; `.wouldDeadlock`; `.invalidKey`; what the system refuses;
    ///   `.lockLost` after the closure has returned, when a lock was lost meanwhile (see ``Store/HeldLock/isLost``).
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func withLock<K: KeyConvertible, R: ~Copyable>(
        _ keys: K..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard,
        _ body: () throws -> R
    ) throws -> R {
        try withLock(keys, mode: mode, wait: wait, body)
    }

    /// Runs a closure while holding the locks of a collection of keys; blocks the thread while it waits.
    ///
    /// - Throws: as `withLock` with the keys one by one.
    @available(
        *, noasync,
        message:
            "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
    )
    public func withLock<R: ~Copyable>(
        _ keys: some Collection<some KeyConvertible>, mode: HeldLock.Mode = .exclusive,
        wait: Wait = .standard, _ body: () throws -> R
    ) throws -> R {
        let lock = try lock(keys, mode: mode, wait: wait)
        defer { lock.release() }
        let result = try body()
        try lock.checkKept()
        return result
    }
}
