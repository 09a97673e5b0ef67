internal import Synchronization
internal import SystemCalls

/// A call's way through a queue, which a thread steps, or the look-out for a task.
protocol QueuedAttempt: AnyObject, Sendable {
    var span: WaitSpan { get }
    /// Goes on as far as possible without sleeping; nil when there is nothing to sleep for any more.
    ///
    /// - Parameter isLate: whether the last sleep ended by itself.
    func step(isLate: Bool) throws(StoreError) -> QueueRest?
    /// Leaves the queue; twice is fine.
    func giveUp()
}

#if Async

/// The tasks of one session that wait in queues, for locks and leases: a watch of the look-out.
///
/// The look-out steps the attempts itself, and does not wait for a task to be scheduled: an attempt that is first in
/// a queue keeps others waiting.
final class QueueTickets: Watch {
    /// How a wait ended.
    enum End: Sendable {
        /// The attempt needs to sleep no more.
        case ready
        /// The attempt still stands in its queue: its task gives it up.
        case timedOut
        case failed(StoreError)
        case cancelled
    }

    /// One task's attempt.
    final class Ticket: @unchecked Sendable {
        // By the look-out's thread alone, once the ticket has been left here.
        fileprivate let attempt: any QueuedAttempt
        fileprivate var rest: QueueRest
        private let state = Mutex(State())

        private struct State {
            var isCancelled = false
            var end: End?
            var resume: (@Sendable (End) -> Void)?
        }

        init(_ attempt: any QueuedAttempt, _ rest: QueueRest) {
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
            switch end {
            case .ready, .timedOut: break
            case .failed, .cancelled: attempt.giveUp()
            }
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
            guard let rest = try ticket.attempt.step(isLate: isLate) else { return .ready }
            ticket.rest = rest
        } catch {
            return .failed(error)
        }
        return ticket.attempt.span.isOver ? .timedOut : nil
    }
}

extension Session {
    /// Waits until an attempt that stands in a queue needs to sleep no more, its time is over, or the task is cancelled.
    nonisolated(nonsending) func wait(
        for attempt: any QueuedAttempt, _ rest: QueueRest
    ) async throws(StoreError) -> QueueTickets.End {
        let store = try forWriting()
        let tickets = store.lookOut.watch { QueueTickets() }
        let ticket = QueueTickets.Ticket(attempt, rest)
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
