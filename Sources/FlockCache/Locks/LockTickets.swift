#if Async

internal import Synchronization
internal import SystemCalls

/// The tasks of one session that wait for locks: a watch of the look-out.
///
/// The look-out takes the locks itself, and does not wait for a task to be scheduled: an attempt that is first in
/// a queue keeps others waiting.
final class LockTickets: Watch {
    /// How an attempt ended.
    enum End: Sendable {
        /// All its locks are held.
        case held
        case timedOut(Store.Key?, Holder?)
        case failed(StoreError)
        case cancelled
    }

    /// One task's attempt.
    final class Ticket: @unchecked Sendable {
        // By the look-out's thread alone, once the ticket has been left here.
        fileprivate let attempt: LockAttempt
        fileprivate var rest: QueueRest
        private let state = Mutex(State())

        private struct State {
            var isCancelled = false
            var end: End?
            var resume: (@Sendable (End) -> Void)?
        }

        init(_ attempt: LockAttempt, _ rest: QueueRest) {
            self.attempt = attempt
            self.rest = rest
        }

        /// Has a closure called when the attempt has ended; at once, and false, if it has already.
        fileprivate func wait(_ resume: @escaping @Sendable (End) -> Void) -> Bool {
            let end = state.withLock { state in
                if state.end == nil { state.resume = resume }
                return state.end
            }
            if let end { resume(end) }
            return end == nil
        }

        fileprivate var isCancelled: Bool { state.withLock { $0.isCancelled } }

        /// True where the attempt has been left to the look-out, which ends it.
        fileprivate func cancel() -> Bool {
            let hasBegun = state.withLock { state in
                state.isCancelled = true
                if state.resume == nil, state.end == nil {
                    state.end = .cancelled
                    return false
                }
                return true
            }
            if !hasBegun { attempt.giveUp() }
            return hasBegun
        }

        fileprivate func finish(_ end: End) {
            if case .held = end {} else { attempt.giveUp() }
            let resume = state.withLock { state in
                state.end = end
                defer { state.resume = nil }
                return state.resume
            }
            resume?(end)
        }
    }

    /// The first to come first.
    private let tickets = Mutex<[Ticket]>([])

    /// Leaves an attempt to the look-out, which calls the closure once, when it is over.
    fileprivate func wait(
        for ticket: Ticket, in store: OpenStore, _ resume: @escaping @Sendable (End) -> Void
    ) {
        guard ticket.wait(resume) else { return }
        tickets.withLock { $0.append(ticket) }
        do throws(StoreError) {
            try store.lookOut.add(self) { store.board.forWaiting() }
        } catch {
            // The ticket has been failed with the others.
        }
    }

    func fail(_ error: StoreError) {
        let waiting = tickets.withLock { tickets in
            defer { tickets = [] }
            return tickets
        }
        for ticket in waiting { ticket.finish(.failed(error)) }
    }

    /// Lets those go on who were called, or whose sleep is over.
    func look(with board: Board?) -> BootTime? {
        let waiting = tickets.withLock { $0 }
        var next: BootTime?
        for ticket in waiting {
            let now = BootTime.now
            let deadline = ticket.attempt.span.deadline
            let (isCalled, isLate) = (ticket.rest.isCalled, now >= ticket.rest.end)
            // Not by `deadline`: that is counted from now on, so that it is never over.
            if isCalled || isLate || ticket.attempt.span.isOver || ticket.isCancelled,
                let end = step(ticket, isLate: isLate && !isCalled)
            {
                tickets.withLock { $0.removeAll { $0 === ticket } }
                ticket.finish(end)
                continue
            }
            let end = min(deadline, ticket.rest.end)
            next = min(next ?? end, end)
        }
        return next
    }

    /// Lets an attempt go on; how it ended, or nil.
    private func step(_ ticket: Ticket, isLate: Bool) -> End? {
        if ticket.isCancelled { return .cancelled }
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

extension Session {
    /// Waits for an attempt that has begun to be over, or the task to be cancelled.
    nonisolated(nonsending) func wait(
        for attempt: LockAttempt, _ rest: QueueRest
    ) async throws(StoreError) -> LockTickets.End {
        let store = try forWriting()
        let tickets = store.lookOut.watch { LockTickets() }
        let ticket = LockTickets.Ticket(attempt, rest)
        return await withTaskCancellationHandler {
            unsafe await withUnsafeContinuation { continuation in
                tickets.wait(for: ticket, in: store) { unsafe continuation.resume(returning: $0) }
            }
        } onCancel: {
            if ticket.cancel() { store.lookOut.ring() }
        }
    }
}

#endif
