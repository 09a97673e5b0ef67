#if Async

internal import Synchronization
internal import SystemCalls

/// The tasks of one session that wait for keys, whose claims end: a watch of the look-out.
///
/// It looks at each key once however many tasks wait for it, and takes no lock of the store.
///
/// No wake-up is lost: a ticket says how the key was when it was drawn, its task looks at the key after
/// that, and the watch compares with the ticket whenever it looks. It looks at once where a ticket was
/// drawn, where the word of the key's shard has changed, and where a time has come.
final class KeyTickets: Watch {
    /// A key, and how to look at it.
    struct Subject: Hashable, Sendable {
        let name: EntryName
        /// How the key is now; nil where that cannot be told from here.
        let look: @Sendable () -> KeySnapshot?

        static func == (a: Subject, b: Subject) -> Bool { a.name == b.name }

        func hash(into hasher: inout Hasher) { hasher.combine(name) }
    }

    /// One task's wait for one key.
    final class Ticket: Sendable {
        fileprivate let subject: Subject
        private let tickets: KeyTickets
        /// How the key was; nil where only time counts, or it could not be looked at.
        private let drawn: KeySnapshot?
        private let isForChange: Bool
        fileprivate let deadline: BootTime
        fileprivate let state = Mutex(State())

        fileprivate struct State {
            var isOver = false
            var resume: (@Sendable () -> Void)?
        }

        fileprivate init(
            _ subject: Subject, _ drawn: KeySnapshot?, isForChange: Bool, _ deadline: BootTime,
            _ tickets: KeyTickets
        ) {
            self.isForChange = isForChange
            self.subject = subject
            self.drawn = drawn
            self.deadline = deadline
            self.tickets = tickets
        }

        /// Has a closure called once, when the key may have changed or the ticket's time is over; at
        /// once if that is so already.
        func wait(_ resume: @escaping @Sendable () -> Void) {
            let isOver = state.withLock { state in
                if !state.isOver { state.resume = resume }
                return state.isOver
            }
            if isOver { resume() }
        }

        /// Ends the ticket; its task is resumed if it waits.
        ///
        /// Twice is fine.
        func giveBack() {
            tickets.forget(self)
            end()
        }

        /// Whether its task is to look at the key again.
        fileprivate func isOver(_ snapshot: KeySnapshot?, at now: BootTime) -> Bool {
            if deadline <= now { return true }
            // What the key could not be compared with its task looks at for itself, from time to time.
            guard let drawn else { return isForChange }
            return snapshot != drawn || !drawn.isHeld
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

    /// The tickets of one key.
    private struct Line {
        var tickets: [Ticket] = []
        /// The word of the shard when the key was last looked at.
        var word: UInt32 = 0
        var nextLook = BootTime(nanoseconds: 0)

        var deadline: BootTime {
            tickets.reduce(BootTime(nanoseconds: .max)) { min($0, $1.deadline) }
        }
    }

    private let lines = Mutex<[Subject: Line]>([:])

    /// Draws a ticket; look at the key after this, and then wait with it or give it back.
    ///
    /// The caller adds this watch to the look-out next.
    ///
    /// - Parameter forChange: false for one that only ends in time.
    func draw(
        _ subject: Subject, with board: Board?, until deadline: BootTime, forChange: Bool
    ) -> Ticket {
        if let board {
            _ = board.announce(.keys(subject.name.shard))
            _ = board.announce(.anything)
        }
        let drawn = forChange ? subject.look() : nil
        let ticket = Ticket(subject, drawn, isForChange: forChange, deadline, self)
        lines.withLock { lines in
            let isNew = lines[subject] == nil
            lines[subject, default: Line()].tickets.append(ticket)
            // The key may have changed since it was looked at above.
            if forChange {
                // What could not be looked at is not looked at again at once.
                let pause = Self.pause(hasBoard: board != nil)
                let later = BootTime.now.advanced(by: .nanoseconds(pause))
                if drawn != nil || !isNew {
                    lines[subject]?.nextLook = BootTime(nanoseconds: 0)
                } else {
                    lines[subject]?.nextLook = later
                }
            }
        }
        return ticket
    }

    private func forget(_ ticket: Ticket) {
        lines.withLock { lines in
            lines[ticket.subject]?.tickets.removeAll { $0 === ticket }
            if lines[ticket.subject]?.tickets.isEmpty == true { lines[ticket.subject] = nil }
        }
    }

    func look(with board: Board?) -> BootTime? {
        let waited = lines.withLock { $0.map { ($0.key, $0.value) } }
        var next: BootTime?
        for (subject, line) in waited {
            // Before looking: a change after this is looked at in the next round.
            let word = board?.announce(.keys(subject.name.shard)) ?? 0
            let now = BootTime.now
            var end = min(line.nextLook, line.deadline)
            if end <= now || word != line.word {
                end = look(at: subject, word, with: board, at: now)
            }
            next = min(next ?? end, end)
        }
        return next
    }

    /// Resumes the tasks whose key is another than it was, or may be had, or whose time is over; returns
    /// when to look again.
    private func look(
        at subject: Subject, _ word: UInt32, with board: Board?, at now: BootTime
    ) -> BootTime {
        // What cannot be looked at from here the tasks see for themselves.
        let found = subject.look()
        let pause = now.advanced(by: .nanoseconds(Self.pause(hasBoard: board != nil)))
        let (over, deadline) = lines.withLock { lines -> ([Ticket], BootTime) in
            guard var line = lines[subject] else { return ([], BootTime(nanoseconds: .max)) }
            let over = line.tickets.filter { $0.isOver(found, at: now) }
            line.tickets.removeAll { $0.isOver(found, at: now) }
            line.word = word
            line.nextLook = pause
            lines[subject] = line.tickets.isEmpty ? nil : line
            return (over, line.deadline)
        }
        for ticket in over { ticket.end() }
        return min(pause, deadline)
    }

    /// After how many nanoseconds to look at a key again.
    ///
    /// Where nothing wakes the look-out, a person's blink is too long, and a look at 100 keys takes a
    /// millisecond.
    private static func pause(hasBoard: Bool) -> Int64 {
        hasBoard ? WaitSpan.untilNextLook() : 5_000_000 + jitter(upTo: 10_000_000)
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

#endif
