#if Async

internal import Synchronization
internal import SystemCalls

/// The tasks of one session that wait for changes: a watch of the look-out.
///
/// No wake-up is lost: a ticket is drawn with the word of the journal, its task looks for a change after that, and
/// the watch ends the ticket when the word is another one.
final class ChangeTickets: Watch {
    /// One task's wait.
    final class Ticket: Sendable {
        fileprivate let word: UInt32
        fileprivate let deadline: BootTime
        private let tickets: ChangeTickets
        private let state = Mutex(State())

        private struct State {
            var isOver = false
            var resume: (@Sendable () -> Void)?
        }

        fileprivate init(_ word: UInt32, _ deadline: BootTime, _ tickets: ChangeTickets) {
            self.word = word
            self.deadline = deadline
            self.tickets = tickets
        }

        /// Waits until there may be a change, its time has come, or the task is cancelled.
        nonisolated(nonsending) func wait() async {
            await withTaskCancellationHandler {
                unsafe await withUnsafeContinuation {
                    (continuation: UnsafeContinuation<Void, Never>) in
                    let isOver = state.withLock { state in
                        if !state.isOver { state.resume = { unsafe continuation.resume() } }
                        return state.isOver
                    }
                    if isOver { unsafe continuation.resume() }
                }
            } onCancel: {
                giveBack()
            }
        }

        /// Ends the ticket; twice is fine.
        func giveBack() {
            tickets.tickets.withLock { $0.removeAll { $0 === self } }
            end()
        }

        fileprivate func end() {
            let resume = state.withLock { state in
                defer { state.resume = nil }
                state.isOver = true
                return state.resume
            }
            resume?()
        }
    }

    private let tickets = Mutex<[Ticket]>([])

    /// How many tasks wait.
    var count: Int { tickets.withLock { $0.count } }

    /// Draws a ticket; look for a change after this, and then wait with it or give it back.
    ///
    /// The caller adds this watch to the look-out next.
    func draw(with board: Board?, until deadline: BootTime) -> Ticket {
        let word = board?.announce(.journal(.changes)) ?? 0
        _ = board?.announce(.anything)
        // Where nothing wakes the look-out the task looks for itself, and from time to time in any case.
        let pause =
            board == nil ? 5_000_000 + jitter(upTo: 10_000_000) : WaitSpan.untilNextLook()
        let soon = BootTime.now.advanced(by: .nanoseconds(pause))
        let ticket = Ticket(word, min(deadline, soon), self)
        tickets.withLock { $0.append(ticket) }
        return ticket
    }

    func look(with board: Board?) -> BootTime? {
        let word = board?.announce(.journal(.changes))
        let now = BootTime.now
        let (over, next) = tickets.withLock { tickets -> ([Ticket], BootTime?) in
            let isOver = { (ticket: Ticket) in
                ticket.deadline <= now || word.map { $0 != ticket.word } == true
            }
            let over = tickets.filter(isOver)
            tickets.removeAll(where: isOver)
            return (over, tickets.map(\.deadline).min())
        }
        for ticket in over { ticket.end() }
        return next
    }

    func fail(_ error: StoreError) {
        // Each task finds out for itself: its next wait cannot start a thread either.
        let waiting = tickets.withLock { tickets in
            defer { tickets = [] }
            return tickets
        }
        for ticket in waiting { ticket.end() }
    }
}

extension ChangeWatch {
    /// The next change, for a task: waits without blocking the thread, and ends when the task is cancelled.
    ///
    /// - Throws: also `CancellationError`.
    nonisolated(nonsending) package func next() async throws -> WatchedChange {
        while true {
            try Task.checkCancellation()
            if let change = try nextIfThere() { return change }
            _ = try goRound()
            let tickets = store.lookOut.watch { ChangeTickets() }
            let ticket = tickets.draw(with: store.board.forWaiting(), until: nextDue)
            do {
                if let change = try nextIfThere() {
                    ticket.giveBack()
                    return change
                }
                let board = store.board
                try store.lookOut.add(tickets) { board.forWaiting() }
            } catch {
                ticket.giveBack()
                throw error
            }
            await ticket.wait()
        }
    }
}

#endif
