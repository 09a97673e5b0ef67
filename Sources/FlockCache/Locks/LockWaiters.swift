internal import SystemCalls

/// The tasks of one session that wait for locks, and the one thread that waits for all of them.
///
/// A task must not block the thread it runs on, so it leaves its attempt here and is resumed when that is
/// over. The thread takes the locks itself, and does not wait for a task to be scheduled: an attempt that
/// has the turnstile keeps others waiting. It exists while there are attempts; it sleeps on the board's
/// word for any lock, or where there is no board polls.
final class LockWaiters: Sendable {
    /// How an attempt ended.
    enum End: Sendable {
        /// All its locks are held.
        case held
        case timedOut(Store.Key?, Holder?)
        case failed(StoreError)
        case cancelled
    }

    /// One task's attempt.
    ///
    /// Used under the lock of the waiters, and its attempt by the thread.
    final class Ticket: Sendable {
        fileprivate let attempt: LockAttempt
        fileprivate nonisolated(unsafe) var rest: LockRest
        fileprivate nonisolated(unsafe) var isCancelled = false
        fileprivate nonisolated(unsafe) var end: End?
        fileprivate nonisolated(unsafe) var resume: (@Sendable (End) -> Void)?

        init(_ attempt: LockAttempt, _ rest: LockRest) {
            self.attempt = attempt
            self.rest = rest
        }
    }

    private struct State {
        /// The first to come first.
        var tickets: [Ticket] = []
        var hasThread = false
        var bell: Bell?
    }

    private let mutex = ThreadMutexes(count: 1)
    private nonisolated(unsafe) var state = State()

    private func withState<R>(_ body: (inout State) -> R) -> R {
        _ = mutex.lock(0, until: BootTime(nanoseconds: .max))
        defer { mutex.unlock(0) }
        return body(&state)
    }

    /// Leaves an attempt to the thread, which calls the closure once, when it is over.
    func wait(
        for ticket: Ticket, in store: OpenStore, _ resume: @escaping @Sendable (End) -> Void
    ) {
        let (needsThread, bell, end) = withState { state -> (Bool, Bell?, End?) in
            if let end = ticket.end { return (false, nil, end) }
            ticket.resume = resume
            state.tickets.append(ticket)
            defer { state.hasThread = true }
            return (!state.hasThread, state.bell, nil)
        }
        if let end { return resume(end) }
        guard needsThread else {
            bell?.ring()
            return
        }
        do throws(Errno) {
            try startThread { self.lookOut(in: store) }
        } catch {
            // Others may have relied on this thread.
            let failure = StoreError(error, "start a thread", path: store.path)
            let tickets = withState { state in
                defer { state.tickets = [] }
                state.hasThread = false
                return state.tickets
            }
            for ticket in tickets { finish(ticket, .failed(failure)) }
        }
    }

    /// Has a ticket end soon; its task is resumed by that.
    func cancel(_ ticket: Ticket) {
        let bell = withState { state in
            ticket.isCancelled = true
            // One that has not begun to wait ends here.
            if ticket.resume == nil, ticket.end == nil {
                ticket.attempt.giveUp()
                ticket.end = .cancelled
            }
            return state.bell
        }
        bell?.ring()
    }

    private func finish(_ ticket: Ticket, _ end: End) {
        if case .held = end {} else { ticket.attempt.giveUp() }
        let resume = withState { _ in
            ticket.end = end
            defer { ticket.resume = nil }
            return ticket.resume
        }
        resume?(end)
    }

    // MARK: The thread

    /// How long the thread stays when nobody waits: tasks that take turns need no new one each time.
    private static let linger = Duration.milliseconds(100)

    private func lookOut(in store: OpenStore) {
        var bell = Bell(store.boardForWaiting(), .anyLock)
        var leave = BootTime.now.advanced(by: Self.linger)
        while true {
            let board = store.boardForWaiting()
            if board !== bell.board { bell = Bell(board, .anyLock) }
            // Before looking: what changes after this ends the sleep below.
            let heard = bell.announce()
            guard let waiting = waiting(with: bell, until: leave) else { return }
            var end = leave
            if !waiting.isEmpty {
                end = lookAll(waiting)
                leave = BootTime.now.advanced(by: Self.linger)
            }
            bell.wait(heard, until: end)
        }
    }

    /// Those who wait; nil when the thread is to end.
    private func waiting(with bell: Bell, until leave: BootTime) -> [Ticket]? {
        withState { state in
            state.bell = bell
            if state.tickets.isEmpty && BootTime.now > leave {
                state.hasThread = false
                state.bell = nil
                return nil
            }
            return state.tickets
        }
    }

    /// Lets those go on who may; returns when to look again at the latest.
    ///
    /// Of those who wait for one lock in one way, only the first goes on: that is what a wake-up of one
    /// means. The others only end in time.
    private func lookAll(_ waiting: [Ticket]) -> BootTime {
        var next = BootTime(nanoseconds: .max)
        var passed: Set<LockRest.Line> = []
        var isAnyOver = false
        for ticket in waiting {
            let now = BootTime.now
            let deadline = ticket.attempt.span.deadline
            let isFirst = passed.insert(ticket.rest.line).inserted
            let isLate = now >= ticket.rest.end
            let goesOn = isFirst && (isLate || ticket.rest.isOver)
            if goesOn || now >= deadline || withState({ _ in ticket.isCancelled }) {
                if let end = step(ticket, isLate: isFirst && isLate) {
                    withState { $0.tickets.removeAll { $0 === ticket } }
                    finish(ticket, end)
                    isAnyOver = true
                    continue
                }
            }
            next = min(next, deadline, isFirst ? ticket.rest.end : deadline)
        }
        // Whoever stood behind those is the first now.
        return isAnyOver ? BootTime.now : next
    }

    /// Lets an attempt go on; how it ended, or nil.
    private func step(_ ticket: Ticket, isLate: Bool) -> End? {
        if withState({ _ in ticket.isCancelled }) { return .cancelled }
        do throws(StoreError) {
            guard let rest = try ticket.attempt.step(isLate: isLate) else { return .held }
            ticket.rest = rest
        } catch {
            return .failed(error)
        }
        guard ticket.attempt.span.isOver else { return nil }
        return .timedOut(ticket.attempt.awaited, ticket.attempt.holder())
    }
}

#if Async
extension Session {
    /// Waits for an attempt that has begun to be over, or the task to be cancelled.
    nonisolated(nonsending) func wait(
        for attempt: LockAttempt, _ rest: LockRest
    ) async throws(StoreError) -> LockWaiters.End {
        let store = try forWriting()
        let waiters = store.withLazy { lazy in
            if let known = lazy.lockWaiters { return known }
            let fresh = LockWaiters()
            lazy.lockWaiters = fresh
            return fresh
        }
        let ticket = LockWaiters.Ticket(attempt, rest)
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                waiters.wait(for: ticket, in: store) { continuation.resume(returning: $0) }
            }
        } onCancel: {
            waiters.cancel(ticket)
        }
    }
}
#endif
