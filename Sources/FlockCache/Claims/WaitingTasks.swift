internal import SystemCalls

/// The tasks of one session that wait for keys, and the one thread that looks out for them.
///
/// A task must not block the thread it runs on, so it leaves a ticket here and is resumed. The thread
/// exists while there are tickets. It sleeps on the board's word for any key, or where there is no board
/// polls; it looks at each key once however many wait for it, and takes no lock of the store.
///
/// No wake-up is lost: a ticket says how the key was when it was drawn, its task looks at the key after
/// that, and the thread compares with the ticket whenever it looks.
final class WaitingTasks: Sendable {
    /// One task's wait for one key.
    final class Ticket: Sendable {
        let name: EntryName
        fileprivate let tasks: WaitingTasks
        /// How the key was; nil where only time counts.
        fileprivate let drawn: KeyGlance?
        fileprivate let deadline: BootTime
        // Both under the lock of `tasks`.
        fileprivate nonisolated(unsafe) var isOver = false
        fileprivate nonisolated(unsafe) var resume: (@Sendable () -> Void)?

        fileprivate init(
            _ name: EntryName, _ drawn: KeyGlance?, _ deadline: BootTime, _ tasks: WaitingTasks
        ) {
            self.name = name
            self.drawn = drawn
            self.deadline = deadline
            self.tasks = tasks
        }

        /// Has a closure called once, when the key may have changed or the ticket's time is over; at
        /// once if that is so already.
        func wait(_ resume: @escaping @Sendable () -> Void) {
            let isOver = tasks.withState { _ in
                if !self.isOver { self.resume = resume }
                return self.isOver
            }
            if isOver { resume() }
        }

        /// Ends the ticket; its task is resumed if it waits.
        ///
        /// Twice is fine.
        func giveBack() { tasks.take(self)?() }

        /// Whether its task is to look at the key again.
        fileprivate func isOver(_ glance: KeyGlance?, at now: BootTime) -> Bool {
            if deadline <= now { return true }
            guard let drawn else { return false }
            return glance != drawn || !drawn.isHeld
        }

        /// Under the lock of `tasks`.
        fileprivate func end() -> (@Sendable () -> Void)? {
            defer { resume = nil }
            isOver = true
            return resume
        }
    }

    private struct State {
        /// By the key's name.
        var tickets: [EntryName: [Ticket]] = [:]
        var hasThread = false
        /// What the thread sleeps on, to tell it of a new ticket.
        var bell: Bell?
    }

    private let mutex = ThreadMutexes(count: 1)
    private nonisolated(unsafe) var state = State()

    private func withState<R>(_ body: (inout State) -> R) -> R {
        _ = mutex.lock(0, until: BootTime(nanoseconds: .max))
        defer { mutex.unlock(0) }
        return body(&state)
    }

    /// Draws a ticket; look at the key after this, and then wait with it or give it back.
    ///
    /// - Parameter forChange: false for one that only ends in time.
    func draw(
        _ name: EntryName, in store: OpenStore, until deadline: BootTime, forChange: Bool
    ) throws(StoreError) -> Ticket {
        if let board = store.boardForWaiting() {
            _ = board.announce(.keys(name.shard))
            _ = board.announce(.anyKey)
        }
        let ticket = Ticket(name, forChange ? try store.glance(at: name) : nil, deadline, self)
        let (needsThread, bell) = withState { state in
            state.tickets[name, default: []].append(ticket)
            defer { state.hasThread = true }
            return (!state.hasThread, state.bell)
        }
        guard needsThread else {
            bell?.ring()
            return ticket
        }
        do throws(Errno) {
            try startThread { self.lookOut(in: store) }
        } catch {
            // Others may have relied on this thread: each of them is to find out for itself.
            let resumes: [@Sendable () -> Void] = withState { state in
                defer { state.tickets = [:] }
                state.hasThread = false
                return state.tickets.values.joined().compactMap { $0.end() }
            }
            for resume in resumes { resume() }
            throw StoreError(error, "start a thread", path: store.path)
        }
        return ticket
    }

    private func take(_ ticket: Ticket) -> (@Sendable () -> Void)? {
        withState { state in
            state.tickets[ticket.name]?.removeAll { $0 === ticket }
            if state.tickets[ticket.name]?.isEmpty == true { state.tickets[ticket.name] = nil }
            return ticket.end()
        }
    }

    // MARK: The thread

    /// How long the thread stays when nobody waits: tasks that take turns need no new one each time.
    private static let linger = Duration.milliseconds(100)

    private func lookOut(in store: OpenStore) {
        var bell = Bell(store.boardForWaiting(), .anyKey)
        var known = bell.words
        var nextLook = BootTime.now
        var leave = nextLook.advanced(by: Self.linger)
        while true {
            let board = store.boardForWaiting()
            if board !== bell.board {
                bell = Bell(board, .anyKey)
                nextLook = BootTime.now
            }
            // In this order: a change after the words were read is seen in the next round, and of those
            // before it every ticket that was drawn before them is here.
            let heard = bell.announce()
            let words = bell.words
            guard let waited = waitedFor(with: bell, until: leave) else { return }
            for name in waited.keys { _ = board?.announce(.keys(name.shard)) }

            let now = BootTime.now
            let isTime = now >= nextLook
            if isTime { nextLook = now.advanced(by: .nanoseconds(bell.nextLook())) }
            if !waited.isEmpty { leave = now.advanced(by: Self.linger) }
            var end = waited.isEmpty ? leave : nextLook
            for (name, deadline) in waited {
                if isTime || deadline <= now || words[name.shard] != known[name.shard] {
                    look(at: name, in: store, at: now)
                }
                if deadline > now { end = min(end, deadline) }
            }
            known = words
            bell.wait(heard, until: end)
        }
    }

    /// The keys that are waited for, each with the first of its deadlines; nil when the thread is to end.
    private func waitedFor(with bell: Bell, until leave: BootTime) -> [EntryName: BootTime]? {
        withState { state in
            state.bell = bell
            if state.tickets.isEmpty && BootTime.now > leave {
                state.hasThread = false
                state.bell = nil
                return nil
            }
            return state.tickets.mapValues { tickets in
                tickets.reduce(BootTime(nanoseconds: .max)) { min($0, $1.deadline) }
            }
        }
    }

    /// Resumes those whose key is another than it was, or may be had, or whose time is over.
    private func look(at name: EntryName, in store: OpenStore, at now: BootTime) {
        // What cannot be looked at from here the tasks see for themselves.
        let glance = try? store.glance(at: name)
        let resumes: [@Sendable () -> Void] = withState { state in
            guard let tickets = state.tickets[name] else { return [] }
            let kept = tickets.filter { !$0.isOver(glance, at: now) }
            state.tickets[name] = kept.isEmpty ? nil : kept
            return tickets.filter { $0.isOver(glance, at: now) }.compactMap { $0.end() }
        }
        for resume in resumes { resume() }
    }
}

extension Session {
    /// How long a task waits for somebody else's change on the thread that it shares with others: as
    /// long as a change takes on a busy machine.
    static let politePatience = Duration.milliseconds(2)

    /// Claims a key for a task; nil where somebody else's change takes longer than a task may wait.
    ///
    /// - Parameter stuck: since when that is so, and until when it is waited for: as long as the form for
    ///   threads waits, from when it began.
    func tryClaim(
        _ key: Store.Key, maxAge: Duration?, staleAfter: Duration?, span: WaitSpan,
        stuck: inout WaitSpan?
    ) throws(StoreError) -> ClaimOutcome? {
        do throws(StoreError) {
            let outcome = try claim(
                key, for: .session, maxAge: maxAge, staleAfter: staleAfter,
                patience: Self.politePatience)
            stuck = nil
            return outcome
        } catch {
            guard error.code == .timedOut else { throw error }
            let began = stuck ?? WaitSpan(span.patience)
            stuck = began
            if began.isOver {
                let store = try forWriting()
                throw ShardMutex.stuck(
                    store, try EntryName(key).shard, try store.shardFile(), began.elapsed)
            }
            return nil
        }
    }

    /// Draws a ticket for a task that is to wait until a key changes, or for a moment.
    func drawTicket(
        for key: Store.Key, until deadline: BootTime, forChange: Bool
    ) throws(StoreError) -> WaitingTasks.Ticket {
        let store = try forWriting()
        let tasks = store.withLazy { lazy in
            if let known = lazy.waitingTasks { return known }
            let fresh = WaitingTasks()
            lazy.waitingTasks = fresh
            return fresh
        }
        let moment = BootTime.now.advanced(by: .nanoseconds(KeyWait.nextAsk()))
        return try tasks.draw(
            try EntryName(key), in: store, until: forChange ? deadline : min(deadline, moment),
            forChange: forChange)
    }
}
