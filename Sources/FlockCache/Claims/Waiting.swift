internal import SystemCalls

/// One thread's wait for a key to become READY or absent, or its holder to die.
///
/// On the board where there is one: whoever changes the key wakes those who wait for it. Otherwise, and
/// for what nobody can tell of, such as a death, by looking again from time to time.
struct KeyWait: ~Copyable {
    private let name: EntryName
    private let span: WaitSpan
    private var pause = Pause(shortest: 1_000_000, longest: 50_000_000, yields: 0)
    private var store: OpenStore?
    private var wait: BoardWait?
    private var holder: HolderWatch?

    init(_ name: EntryName, _ span: WaitSpan) {
        self.name = name
        self.span = span
    }

    /// Says that this thread waits; look at the key after this, and then `sleep`.
    mutating func announce(_ session: Session) throws(StoreError) {
        store = try session.existing()
        wait = BoardWait(
            .keys(name.shard), bits: name.wakeBits, on: store?.board.forWaiting())
    }

    /// Sleeps until the key may have changed, its holder has died, or it is time to look at it again.
    mutating func sleep() {
        guard let store, let wait, wait.hasBoard else { return pause.next(until: span.deadline) }
        for _ in 0..<Self.asksPerLook {
            let end = BootTime.now.advanced(by: .nanoseconds(WaitSpan.untilNextLook()))
            wait.sleep(until: min(span.deadline, end))
            guard !wait.isOverAnnouncingAgain(), !span.isOver else { return }
            // Not before it has lasted: most who wait are woken.
            if holder == nil { holder = HolderWatch(of: name, in: store) }
            guard let holder, holder.isAlive else { break }
        }
        holder = nil
    }

    /// After so many times that its holder was asked after, the key is looked at: whoever changed it may
    /// have had no board.
    private static let asksPerLook = 4
}

/// What waiting for a key comes to.
package enum WaitOutcome: Sendable {
    case ready(ReadyFile)
    /// Absent or given up; or its claim is stale, and nobody has taken it over.
    case absent
    /// The wait ended before; nil where nobody has the key.
    case timedOut(Holder?)
    /// It was damaged, and has been set aside if that was possible.
    case damaged
}

extension Session {
    /// Claims a key, waiting for the end of a PENDING at most that long; nil waits without end.
    ///
    /// Somebody else's change is waited for no longer than what is left of the wait, but for a second at
    /// least: changes take microseconds, and a busy machine is no stopped process.
    ///
    /// - Parameters:
    ///   - maxAge: counts from when this was called: what is published after that is fresh enough.
    ///   - whilePending: called at each look that found somebody else, with how long the wait has been
    ///     going on; what it throws ends the wait.
    /// - Returns: `.pending` when the wait ended first.
    package func claim(
        _ key: Store.Key, for owner: ClaimOwner, maxAge: Duration?, staleAfter: Duration?,
        waiting: Duration?, whilePending: (Holder, Duration) throws(StoreError) -> Void
    ) throws(StoreError) -> ClaimOutcome {
        let span = WaitSpan(waiting)
        var wait: KeyWait?
        while true {
            let outcome = try claim(
                key, for: owner, maxAge: maxAge.map { $0 + span.elapsed }, staleAfter: staleAfter,
                patience: span.patience)
            guard case .pending(let holder) = outcome, !span.isOver else { return outcome }
            try whilePending(holder, span.elapsed)
            if wait == nil {
                wait = KeyWait(try EntryName(key), span)
            } else {
                wait?.sleep()
            }
            try wait?.announce(self)
        }
    }

    /// Waits until a key is READY, at most that long; nil waits without end.
    ///
    /// Never takes a claim over. A stale one that nobody has taken over within a second counts as absent.
    ///
    /// - Parameters:
    ///   - alsoAbsent: goes on waiting where nobody has the key, for somebody to begin.
    ///   - whileWaiting: called at each look, with who has the key and how long the wait has been going
    ///     on; what it throws ends the wait.
    package func wait(
        for key: Store.Key, waiting: Duration?, alsoAbsent: Bool,
        whileWaiting: (Holder?, Duration) throws(StoreError) -> Void
    ) throws(StoreError) -> WaitOutcome {
        let span = WaitSpan(waiting)
        let name = try EntryName(key)
        var wait = KeyWait(name, span)
        var isAnnounced = false
        var succession: TimeLimit?
        while true {
            let holder: Holder?
            switch try get(key, maxAge: nil) {
            case .ready(let ready): return .ready(ready)
            case .damaged: return .damaged
            case .absent:
                guard alsoAbsent else { return .absent }
                succession = nil
                holder = nil
            case .pending(let found):
                // Also one that is torn, or whose own time is over though its holder lives.
                let isStale = try existing()?.snapshot(of: name).isHeld != true
                succession = isStale ? succession ?? TimeLimit(Self.succession) : nil
                if succession?.isOver == true && !alsoAbsent { return .absent }
                holder = found
            }
            guard !span.isOver else { return .timedOut(holder) }
            try whileWaiting(holder, span.elapsed)
            if isAnnounced { wait.sleep() }
            try wait.announce(self)
            isAnnounced = true
        }
    }

    /// How long a claim whose holder has died waits for somebody to take it over: those who wait for it
    /// look twenty times in that time.
    private static let succession = Duration.seconds(1)
}
