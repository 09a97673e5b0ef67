internal import SystemCalls

/// One call's way to all the locks it asks for: in order, all or nothing.
///
/// It never sleeps itself: a thread does that between two steps, or the session's look-out for many tasks.
/// Used by one of them at a time.
package final class LockAttempt: QueuedAttempt, @unchecked Sendable {
    private let session: Session
    private let names: [LockName]
    private let mode: HeldLock.Mode
    let span: WaitSpan
    private var store: OpenStore?
    private var locks: [KeyLock] = []

    init(_ session: Session, _ names: [LockName], _ mode: HeldLock.Mode, _ span: WaitSpan) {
        self.session = session
        self.names = names
        self.mode = mode
        self.span = span
    }

    /// Goes on as far as possible without sleeping; nil when all locks are held.
    ///
    /// When it throws, everything is given up.
    ///
    /// - Parameter isLate: whether the last sleep ended by itself.
    func step(isLate: Bool) throws(StoreError) -> QueueRest? {
        var rest: QueueRest?
        var isLate = isLate
        try going { store throws(StoreError) in
            rest = nil
            while rest == nil, let lock = try next(in: store) {
                rest = try lock.step(isLate: isLate)
                isLate = false
            }
        }
        return rest
    }

    /// Takes all the locks if all can be had now; otherwise gives everything up.
    func tryOnce() throws(StoreError) -> Bool {
        var isBusy = false
        try going { store throws(StoreError) in
            isBusy = false
            while !isBusy, let lock = try next(in: store) { isBusy = try !lock.tryOnce() }
        }
        return !isBusy
    }

    /// Gives up what was taken and waited for, the last first; twice is fine.
    func giveUp() {
        while let lock = locks.popLast() { lock.end() }
    }

    /// The guard of the locks, all of them held, registered as held by this thread or task.
    func heldLock(for owner: HeldKeys.Owner) -> HeldLock {
        defer { locks = [] }
        let others = Array(locks.dropFirst())
        return HeldLock(HeldKeys(locks.first, others, in: locks.first?.identity, for: owner))
    }

    /// The key that is waited for.
    package var awaited: Store.Key? { locks.last?.name.key }
    /// Who holds it, for messages; nil where that is not known.
    package func holder() -> Holder? { locks.last?.holder() }
    /// How long the attempt has been going on.
    package var elapsed: Duration { span.elapsed }

    /// The first lock that is not held; nil when all are.
    private func next(in store: OpenStore) throws(StoreError) -> KeyLock? {
        if let last = locks.last, last.slot == nil { return last }
        guard locks.count < names.count else { return nil }
        // The next ones are asked for when those before are held.
        let lock = try KeyLock(
            names[locks.count], mode, in: store, at: locks.isEmpty ? span.start : BootTime.now)
        locks.append(lock)
        return lock
    }

    /// Runs a closure, from the beginning where the store was removed and made anew: locks of a store that
    /// nobody can find exclude nobody.
    private func going(_ body: (OpenStore) throws(StoreError) -> Void) throws(StoreError) {
        do throws(StoreError) {
            try session.withStore(nil) { (current) throws(StoreError) in
                if store !== current {
                    giveUp()
                    store = current
                }
                try body(current)
            }
        } catch {
            giveUp()
            throw error
        }
    }
}

extension Session {
    /// Takes the locks of all the keys, waiting for them at most that long; nil waits without end.
    ///
    /// - Parameter whileWaiting: called at each look that found a lock held; what it throws ends the wait.
    package func lock(
        _ keys: [Store.Key], _ mode: HeldLock.Mode, waiting: Duration?,
        whileWaiting: (LockAttempt) throws(StoreError) -> Void
    ) throws(StoreError) -> LockOutcome {
        // First of all: it is when this call came.
        let span = WaitSpan(waiting)
        let names = try LockName.inOrder(keys)
        try mode.check(names)
        let owner = HeldKeys.Owner.current
        if waiting != .zero { try checkOrder(of: names, for: owner) }
        if names.count == 1 {
            // The way of most: nothing to undo where it fails.
            let lock = try withStore(nil) { (store) throws(StoreError) in
                try KeyLock(names[0], mode, in: store, at: span.start)
            }
            if lock.slot != nil {
                return .held(HeldLock(HeldKeys(lock, [], in: lock.identity, for: owner)))
            }
        }
        let attempt = LockAttempt(self, names, mode, span)
        guard waiting != .zero else {
            return try attempt.tryOnce() ? .held(attempt.heldLock(for: owner)) : busy(attempt)
        }
        var isLate = false
        while let rest = try attempt.step(isLate: isLate) {
            guard !attempt.span.isOver else { return busy(attempt) }
            do throws(StoreError) {
                try whileWaiting(attempt)
            } catch {
                attempt.giveUp()
                throw error
            }
            isLate = rest.sleep(until: attempt.span.deadline)
        }
        return .held(attempt.heldLock(for: owner))
    }

    private func busy(_ attempt: LockAttempt) -> LockOutcome {
        let holder = attempt.holder()
        let key = attempt.awaited
        attempt.giveUp()
        return .busy(key, holder)
    }
}

/// What asking for locks comes to.
package enum LockOutcome: ~Copyable {
    case held(HeldLock)
    /// Somebody else has that one; nothing is held.
    case busy(Store.Key?, Holder?)
}

extension Store.HeldLock.Mode {
    /// Throws where it makes no sense for the keys.
    func check(_ names: [LockName]) throws(StoreError) {
        guard case .slots(let count) = self else { return }
        guard 1...Limits.slots ~= count else { throw .badSlots(count) }
        guard names.count < 2 else { throw .slotsOfMany(names[0].key, names[1].key) }
    }
}
