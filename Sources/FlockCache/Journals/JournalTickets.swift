#if Async

internal import Synchronization
internal import SystemCalls

/// The tasks of one session that follow journals: a watch of the look-out.
///
/// No wake-up is lost: a ticket carries the position of its reader, the look-out announces and asks that position
/// for news. It does so where a ticket was drawn, where the word of the journal has changed, and from time to time.
final class JournalTickets: Watch {
    /// One task's wait for more of one journal.
    final class Ticket: Sendable {
        fileprivate let position: JournalPosition
        private let tickets: JournalTickets
        private let state = Mutex(State())

        private struct State {
            var isOver = false
            var resume: (@Sendable () -> Void)?
        }

        fileprivate init(_ position: JournalPosition, _ tickets: JournalTickets) {
            self.position = position
            self.tickets = tickets
        }

        /// Has a closure called once, when the ticket is over; at once if it is so already.
        fileprivate func wait(_ resume: @escaping @Sendable () -> Void) {
            let isOver = state.withLock { state in
                if !state.isOver { state.resume = resume }
                return state.isOver
            }
            if isOver { resume() }
        }

        /// Ends it; twice is fine.
        fileprivate func giveBack() {
            tickets.forget(self)
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

    /// The tickets of one journal.
    private struct Line {
        var tickets: [Ticket] = []
        /// The word of the journal when its tickets were last looked at.
        var word: UInt32 = 0
        var nextLook = BootTime(nanoseconds: 0)
    }

    private let lines = Mutex<[JournalName: Line]>([:])

    /// Draws a ticket; the caller adds this watch to the look-out next.
    fileprivate func draw(_ position: JournalPosition) -> Ticket {
        let ticket = Ticket(position, self)
        lines.withLock { lines in
            lines[position.journal.name, default: Line()].tickets.append(ticket)
            lines[position.journal.name]?.nextLook = BootTime(nanoseconds: 0)
        }
        return ticket
    }

    private func forget(_ ticket: Ticket) {
        let name = ticket.position.journal.name
        lines.withLock { lines in
            lines[name]?.tickets.removeAll { $0 === ticket }
            if lines[name]?.tickets.isEmpty == true { lines[name] = nil }
        }
    }

    func look(with board: Board?) -> BootTime? {
        let waited = lines.withLock { $0.map { ($0.key, $0.value) } }
        var next: BootTime?
        for (name, line) in waited {
            // Before looking: what is appended after this is looked at in the next round.
            let word = board?.announce(.journal(name)) ?? 0
            let now = BootTime.now
            var end = line.nextLook
            if end <= now || word != line.word {
                let pause = board == nil ? JournalPause.withoutBoard() : WaitSpan.untilNextLook()
                end = now.advanced(by: .nanoseconds(pause))
                look(at: name, line.tickets, word, nextLook: end)
            }
            next = min(next ?? end, end)
        }
        return next
    }

    private func look(
        at name: JournalName, _ tickets: [Ticket], _ word: UInt32, nextLook: BootTime
    ) {
        let over = tickets.filter { $0.position.hasNews() }
        lines.withLock { lines in
            guard var line = lines[name] else { return }
            line.tickets.removeAll { ticket in over.contains { $0 === ticket } }
            // One that was drawn meanwhile is looked at in the next round, which its look-out was told of.
            let isSame = line.tickets.allSatisfy { ticket in
                tickets.contains { $0 === ticket }
            }
            line.word = word
            line.nextLook = isSame ? nextLook : BootTime(nanoseconds: 0)
            lines[name] = line.tickets.isEmpty ? nil : line
        }
        for ticket in over { ticket.end() }
    }

    func fail(_ error: StoreError) {
        // Each task finds out for itself: its next wait cannot start a thread either.
        let tickets = lines.withLock { lines in
            defer { lines = [:] }
            return lines.values.flatMap(\.tickets)
        }
        for ticket in tickets { ticket.end() }
    }
}

extension Session {
    /// Waits until a reader that has come to the end may have something to read, or the task is cancelled.
    nonisolated(nonsending)
        func waitForRecords(of position: JournalPosition) async throws(StoreError)
    {
        guard let store = try existing() else { return }
        let tickets = store.lookOut.watch { JournalTickets() }
        let ticket = tickets.draw(position)
        do throws(StoreError) {
            try store.lookOut.add(tickets) { store.board.forWaiting() }
        } catch {
            ticket.giveBack()
            throw error
        }
        await withTaskCancellationHandler {
            unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                ticket.wait { unsafe continuation.resume() }
            }
        } onCancel: {
            ticket.giveBack()
        }
    }
}

#endif
