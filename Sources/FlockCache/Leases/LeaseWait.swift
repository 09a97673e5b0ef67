internal import SystemCalls

extension Session {
    /// Grants a lease, waiting for a free slot at most that long; nil waits without end.
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
        try request.check(key)
        let name = try EntryName(key)
        let span = WaitSpan(waiting)
        var pause = Pause(shortest: 1_000_000, longest: 50_000_000, yields: 0)
        while true {
            let store = waiting == .zero ? nil : try existing()
            let wait = BoardWait(
                .keys(name.shard), bits: name.wakeBits, on: store?.board.forWaiting())
            let outcome = try tryLease(
                name, request, patience: waiting == .zero ? Limits.patience : span.patience)
            guard case .busy(let holder) = outcome, !span.isOver else { return outcome }
            try whileWaiting(holder, span.elapsed)
            var isFree = false
            while !isFree {
                guard let store = try existing() else { break }
                let (isNow, left) = try store.leaseOutlook(name, slots: request.slots)
                if isNow || span.isOver { break }
                // Not a microsecond early: it would have to sleep again.
                let most = left.map { Swift.min($0 + 1, WaitSpan.untilNextLook() / 1000) }
                let nap = Duration.microseconds(most ?? WaitSpan.untilNextLook() / 1000)
                let end = Swift.min(span.deadline, BootTime.now.advanced(by: nap))
                if wait.hasBoard {
                    wait.sleep(until: end)
                    isFree = wait.isOverAnnouncingAgain()
                } else {
                    pause.next(until: end)
                }
                try whileWaiting(holder, span.elapsed)
            }
        }
    }
}

#if Async
extension Session {
    /// What a task waits for that wants a lease.
    func leaseSubject(_ key: Store.Key, slots: Int) throws(StoreError) -> KeyTickets.Subject {
        let (store, name) = (try forWriting(), try EntryName(key))
        return KeyTickets.Subject(name: name, kind: .lease(slots: slots)) {
            // What cannot be looked at from here the task sees for itself.
            guard !store.files.seemsElsewhere,
                let (isFree, left) = try? store.leaseOutlook(name, slots: slots)
            else { return nil }
            // Not a microsecond early: it would have to look again.
            let end = left.map { BootTime.now.advanced(by: .microseconds($0 + 1)) }
            return (KeySnapshot(isHeld: !isFree), end)
        }
    }
}
#endif
