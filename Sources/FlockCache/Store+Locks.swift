// Locks. The order in which they are taken, and what is refused, is in `LockName` and `HeldKeys`; how they
// are waited for in `KeyLock`.

extension Store {
    /// Takes the locks of all the keys, and returns them as one.
    ///
    /// Whoever waits stands in one queue for each key, readers and writers alike, and sleeps until it is
    /// woken. Keys may be named in any order, and twice: they are taken in the order of their bytes, so that
    /// two calls that name several never wait for each other.
    ///
    /// Locks that are taken one call after the other must go upwards in that order. A call that goes
    /// downwards from what its thread, its task or an ancestor process holds, or asks for that itself, is
    /// refused at once, because it could wait for ever; unless it does not wait at all. Threads and tasks
    /// that wait for one another in other ways are not seen.
    ///
    /// - Parameters:
    ///   - keys: up to 4096 bytes each; none is nothing to wait for. Locks share no names with entries.
    ///   - mode: who else may have the locks.
    ///   - wait: how long for all of them together, by a clock that runs through suspend; it never ends
    ///     early. When it ends nothing is held.
    /// - Throws: `.timedOut` when the wait ended; `.wouldDeadlock`; `.invalidKey`; what the system refuses.
    @available(*, noasync, message: "Use 'try await'.")
    public func lock(
        _ keys: [Key], mode: HeldLock.Mode = .exclusive, wait: Wait = .standard
    ) throws(StoreError) -> HeldLock {
        var notice = WaitNotice(session.configuration)
        let outcome = try session.lock(keys, mode, waiting: limit(of: wait)) { attempt in
            notice.tell(attempt)
        }
        switch consume outcome {
        case .held(let lock): return lock
        case .busy(let key, let holder): throw .lockWaitEnded(key, holder)
        }
    }

    /// Takes all the locks if all are free now, otherwise none.
    ///
    /// A lock that others wait for is not free, unless nobody holds it.
    ///
    /// - Returns: nil where one is held by somebody else.
    /// - Throws: `.invalidKey`; what the system refuses. Never `.wouldDeadlock`: it does not wait.
    public func lockIfAvailable(
        _ keys: [Key], mode: HeldLock.Mode = .exclusive
    ) throws(StoreError) -> HeldLock? {
        let outcome = try session.lock(keys, mode, waiting: .zero) { _ in }
        switch consume outcome {
        case .held(let lock): return lock
        case .busy: return nil
        }
    }

    /// Runs a closure holding all the locks.
    ///
    /// As ``lock(_:mode:wait:)``; they are released when the closure returns or throws.
    ///
    /// - Throws: what the closure throws, and as ``lock(_:mode:wait:)``; `.lockLost` after the closure has
    ///   returned, when a lock was lost meanwhile (see ``HeldLock/isLost``).
    @available(*, noasync, message: "Use 'try await'.")
    public func withLock<R: ~Copyable>(
        _ key: Key, _ more: Key..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard,
        _ body: () throws -> R
    ) throws -> R {
        let held = try lock([key] + more, mode: mode, wait: wait)
        defer { held.end() }
        let result = try body()
        try held.checkKept()
        return result
    }
}

extension HeldLock {
    /// The same as `release`, for who cannot consume.
    fileprivate borrowing func end() { held.release() }
}
