internal import SystemCalls

/// One call's way to a lease: in the order of arrival.
///
/// It asks for nothing and never sleeps itself: it says when it is this call's turn to ask, and what to sleep on until
/// then. A thread does both; of a task's wait the sleep is left to the session's look-out. Used by one of them at a time.
final class LeaseAttempt: QueuedAttempt, @unchecked Sendable {
    let span: WaitSpan
    private let session: Session
    private let name: EntryName
    private let slots: Int
    private var place: LeasePlace?
    /// Whether somebody had it when it was asked for.
    private var wasBusy = false
    /// Where it seems to be free, and is not.
    private var pause = Pause(shortest: 1_000_000, longest: 50_000_000, yields: 0)
    private var triesInARow = 0
    /// Who had it when that was last looked at, and under which generation.
    private var found: (generation: Store.Generation, holder: Holder)?

    init(_ session: Session, _ name: EntryName, slots: Int, _ span: WaitSpan) {
        (self.session, self.name, self.slots, self.span) = (session, name, slots, span)
    }

    deinit { giveUp() }

    /// nil when it is this call's turn to ask for the lease; else what to sleep on before the next step.
    ///
    /// - Parameter isLate: whether the last sleep ended by itself.
    func step(isLate: Bool) throws(StoreError) -> QueueRest? {
        guard let store = try session.existingNow() else {
            giveUp()
            return nil
        }
        if place?.store !== store {
            giveUp()
            let queues = wasBusy ? true : try store.isWaitedFor(name)
            guard queues else { return nil }
            place = try LeasePlace(LockName(known: name.key), in: store)
            try place?.join(since: span.start)
        }
        var isLate = isLate
        while true {
            if try place?.isFirst() != false {
                let (isFree, left) = try store.leaseOutlook(name, slots: slots)
                guard isFree else {
                    triesInARow = 0
                    // Not a microsecond early: it would have to sleep again.
                    let end = left.map { BootTime.now.advanced(by: .microseconds($0 + 1)) }
                    return rest(until: end)
                }
                triesInARow += 1
                return triesInARow > 2
                    ? rest(until: pause.nextEnd(until: BootTime(nanoseconds: .max))) : nil
            }
            guard place?.isSuspicious(afterNap: isLate) == true,
                try place?.hasPassed(isFree: try store.leaseOutlook(name, slots: slots).isFree)
                    == true
            else { return rest(until: nil) }
            isLate = false
        }
    }

    /// Is told that it was asked for in vain.
    func noteBusy() { wasBusy = true }

    /// Leaves the queue; twice is fine.
    func giveUp() { place.take()?.leave() }

    /// Who has it, for messages; nil where a slot is free, and only others who wait are in the way.
    func holder() throws(StoreError) -> Holder? {
        guard let store = try session.existing(),
            let cell = try store.heldCell(of: name, slots: slots)
        else { return nil }
        if let found, found.generation == cell.generation { return found.holder }
        let holder = store.holder(of: cell)
        found = (cell.generation, holder)
        return holder
    }

    private func rest(until end: BootTime?) -> QueueRest? {
        let rest = place?.rest()
        return end.flatMap { rest?.ending(by: $0) } ?? rest
    }
}

extension Session {
    /// Grants a lease, waiting for a free slot at most that long, in the order of arrival; nil waits without end.
    ///
    /// Who waits is woken by a release, wakes itself when a lease's time is over, and asks from time to time
    /// whether an owner still lives.
    ///
    /// - Parameter whileWaiting: called at each look that found it taken, with who has it and how long the
    ///   wait has been going on; what it throws ends the wait.
    package func acquireLease(
        _ key: Store.Key, _ request: LeaseRequest, waiting: Duration?,
        whileWaiting: (Holder?, Duration) throws(StoreError) -> Void
    ) throws(StoreError) -> LeaseOutcome {
        // First of all: it is when this call came.
        let span = WaitSpan(waiting)
        try request.check(key)
        let name = try EntryName(key)
        if waiting == .zero { return try acquireLeaseNow(name, request) }
        let attempt = LeaseAttempt(self, name, slots: request.slots, span)
        defer { attempt.giveUp() }
        var isLate = false
        while true {
            if let rest = try attempt.step(isLate: isLate) {
                let holder = try attempt.holder()
                if span.isOver { return .busy(holder) }
                // Who only waits for others to take what is free does not wait for itself.
                if holder != nil { try whileWaiting(holder, span.elapsed) }
                isLate = rest.sleep(until: span.deadline)
                continue
            }
            let outcome = try tryLease(name, request, patience: span.patience)
            guard case .busy(let holder) = outcome, !span.isOver else { return outcome }
            try whileWaiting(holder, span.elapsed)
            attempt.noteBusy()
            isLate = false
        }
    }

    /// Grants a lease that is free, and that nobody waits for.
    func acquireLeaseNow(
        _ name: EntryName, _ request: LeaseRequest, patience: Duration = Limits.patience
    ) throws(StoreError) -> LeaseOutcome {
        if let store = try existing(), try store.othersComeFirst(name, slots: request.slots) {
            let cell = try store.heldCell(of: name, slots: request.slots)
            return .busy(cell.map { store.holder(of: $0) })
        }
        return try tryLease(name, request, patience: patience)
    }
}

extension OpenStore {
    /// The cell of the first slot that is held; nil where one is free.
    fileprivate func heldCell(
        of name: EntryName, slots: Int
    ) throws(StoreError) -> LeaseCell? {
        guard try !leaseOutlook(name, slots: slots).isFree else { return nil }
        return try leaseFile(name, making: false, writing: false)?.slot(0).cell
    }
}
