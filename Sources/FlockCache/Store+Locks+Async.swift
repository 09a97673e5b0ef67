#if Async

// The same waits for tasks. None of them blocks the thread that its task runs on.

extension Store {
    /// Takes the locks of all the keys, and returns them as one.
    ///
    /// As the form for threads, without blocking one. The locks belong to this task: its child tasks may wait
    /// for lower keys unseen, which ``withLock(_:_:mode:wait:_:)-swift.method`` refuses them.
    ///
    /// - Throws: as the form for threads, and `CancellationError` when the task is cancelled while it waits;
    ///   nothing is then held.
    nonisolated(nonsending)
        public func lock(
            _ keys: [Key], mode: HeldLock.Mode = .exclusive, wait: Wait = .standard
        ) async throws -> HeldLock
    {
        try Task.checkCancellation()
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
            case .held: break
            case .timedOut(let key, let holder): throw StoreError.lockWaitEnded(key, holder)
            case .failed(let error): throw error
            case .cancelled: throw CancellationError()
            }
        }
        return attempt.heldLock(for: owner)
    }

    /// Runs a closure holding all the locks.
    ///
    /// As the form for threads, without blocking one.
    ///
    /// - Throws: what the closure throws, `.lockLost`, and as ``lock(_:mode:wait:)``.
    nonisolated(nonsending)
        public func withLock<R: ~Copyable>(
            _ key: Key, _ more: Key..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard,
            _ body: () throws -> R
        ) async throws -> R
    {
        let lock = try await lock([key] + more, mode: mode, wait: wait)
        defer { lock.held.release() }
        let result = try body()
        try lock.held.checkKept()
        return result
    }

    /// Runs an asynchronous closure holding all the locks.
    ///
    /// As the form for threads, without blocking one. Child tasks of the closure are refused what the
    /// closure itself would be refused.
    ///
    /// - Throws: what the closure throws, `.lockLost`, and as ``lock(_:mode:wait:)``.
    nonisolated(nonsending)
        public func withLock<R: ~Copyable>(
            _ key: Key, _ more: Key..., mode: HeldLock.Mode = .exclusive, wait: Wait = .standard,
            _ body: nonisolated(nonsending) () async throws -> R
        ) async throws -> R
    {
        let lock = try await lock([key] + more, mode: mode, wait: wait)
        defer { lock.held.release() }
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
