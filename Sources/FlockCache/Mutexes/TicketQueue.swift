internal import SystemCalls

/// A queue in the order of arrival, as one who waits in it, or wakes those who do, sees it.
///
///   outside → joined (its ticket's byte is locked) → first (no older byte is) → outside
///
/// A ticket is the time of arrival, as a byte of the queue's range. Its owner is first when the kernel finds no
/// older byte locked. Whoever leaves the queue, or frees what is waited for, wakes the owner of the oldest ticket and
/// nobody else. Nothing here is counted or kept: the bytes of a killed one are free.
///
/// What could break it, and what then happens:
/// - A wake-up is lost, or the board, or the woken one is killed: every sleep ends by itself, and then its owner looks.
/// - The first does not move, though it could: it is stopped, or waits for something else whose queue has the same
///   bytes. Who finds that after a nap *reminds* it, and *passes* it when it is still there four looks later. From
///   then on everybody looks at newer tickets only, by a hint on the board. Who finds itself passed takes that back.
/// - The hint is nonsense: passed ones take it back, and those in front are passed again, at the cost of a nap.
/// - Without a board those who wait look again and again, and each passes for itself.
struct TicketQueue {
    let name: QueueName
    /// Of another machine the boot clock is another.
    private let isLocal: Bool
    private(set) var board: Board?
    private(set) var ticket: Ticket?
    /// What the word of the ticket was before the last look.
    private var seen: UInt32 = 0
    /// The ticket that this one has passed itself.
    private var passed: Ticket?
    private var suspect: Suspect?
    /// Since when nothing has changed for this one, as far as it knows.
    private var standstill = BootTime(nanoseconds: 0)
    private var wasFirst = false

    /// One that is first and does not take what is free.
    private struct Suspect {
        let ticket: Ticket
        let since: BootTime
        var looks = 1
        /// When the next look is due, and by how many nanoseconds one came too late at most.
        var due: BootTime
        var lateness: Int64 = 0
    }

    init(_ name: QueueName, isLocal: Bool, board: Board?) {
        self.name = name
        self.isLocal = isLocal
        self.board = board
    }

    // MARK: For who does not wait

    /// Whether nobody waits in it.
    @inline(__always)
    func isEmpty(_ file: borrowing LockFile) throws(Errno) -> Bool {
        if let board, !board.isWaitedFor(name) { return true }
        return try file.byteOfOthers(at: name.start, count: TicketOrder.count) == nil
    }

    /// Whether nobody waits in it but those who were passed.
    func isEmptyBehindPassed(_ file: borrowing LockFile) throws(Errno) -> Bool {
        if let board, !board.isWaitedFor(name) { return true }
        let order = order
        return try locked(in: firstRank(order)..<TicketOrder.count, order, file) == nil
    }

    /// Wakes the owner of the oldest ticket, after something became free or a ticket was given back.
    func wakeOldest(_ file: borrowing LockFile) {
        guard let board else { return }
        let order = order
        let first = firstRank(order)
        // Where nobody can be found nobody is woken: the sleeps end by themselves.
        var oldest = try? oldest(in: first..<TicketOrder.count, order, file)
        // Nobody but those who were passed; one of them may live.
        if oldest == nil, first > 0 { oldest = try? self.oldest(in: 0..<first, order, file) }
        if let oldest { board.wakeOwner(of: oldest) }
    }

    // MARK: For who waits

    /// Takes a place in it.
    ///
    /// - Parameter start: since when its owner asks: so that who was interrupted on its way here is not behind those
    ///   who came meanwhile.
    mutating func join(_ file: borrowing LockFile, since start: BootTime) throws(Errno) {
        standstill = BootTime.now
        ticket = try place(in: file, Ticket(at: TicketClock.units(at: start, isLocal: isLocal)))
        board?.join(name)
    }

    /// Moves from the place in one file to that in another, which is had before the former is given back: so that
    /// those behind find it there.
    mutating func move(
        from former: consuming LockFile, to file: consuming LockFile
    ) throws(Errno) -> LockFile {
        guard let old = ticket else { return file }
        defer {
            former.unlock(at: name.byte(of: old))
            wakeOldest(former)
        }
        ticket = try place(in: file, old)
        return file
    }

    /// Locks a ticket's byte, or that of one behind it.
    private func place(in file: borrowing LockFile, _ ticket: Ticket) throws(Errno) -> Ticket {
        // Those who came at the same moment have the next ones. Where somebody has locked all of them by other means
        // there is no place.
        var next = ticket
        for _ in 0..<1 << 16 {
            if try file.tryLock(.exclusive, at: name.byte(of: next)) { return next }
            next = next.next
        }
        throw .wouldBlock
    }

    /// Gives the place back; false where only closing the file does.
    ///
    /// By unlocking: where the process has forked in a way that the handlers of forks do not see, closing the file
    /// unlocks nothing.
    mutating func leave(_ file: borrowing LockFile) -> Bool {
        // Who was passed may be first again when what is waited for is released.
        (passed, suspect) = (nil, nil)
        guard let ticket else { return true }
        board?.leave(name)
        self.ticket = nil
        return file.unlock(at: name.byte(of: ticket))
    }

    /// Is out of the queue: its file was closed.
    mutating func forget() {
        if ticket != nil { board?.leave(name) }
        (ticket, passed, suspect) = (nil, nil, nil)
    }

    /// Goes on with another board, or without one.
    mutating func use(_ board: Board?) {
        guard board !== self.board else { return }
        self.board = board
        if ticket != nil { board?.join(name) }
    }

    /// Says that its owner waits, and looks whether it is first.
    ///
    /// What changes after this ends the sleep of `rest`.
    mutating func isFirst(_ file: borrowing LockFile) throws(Errno) -> Bool {
        guard let ticket else { return false }
        if let board { seen = board.announce(name, ticket) }
        let order = order
        let own = order.rank(of: ticket)
        if let board, let passed = board.passed(in: name), order.isPast(passed),
            order.rank(of: passed) >= own
        {
            // It was passed, and lives.
            board.setPassed(ticket.previous, in: name)
        }
        let first = firstRank(order)
        let isFirst = first >= own ? true : try locked(in: first..<own, order, file) == nil
        if isFirst != wasFirst { standstill = BootTime.now }
        wasFirst = isFirst
        return isFirst
    }

    /// Whether somebody in front may have to be passed: so it is to be known whether what is waited for is free.
    func isSuspicious(afterNap isLate: Bool) -> Bool { isLate || suspect != nil }

    /// Reminds the one in front, or passes it where that was in vain; true in the latter case.
    ///
    /// - Parameter isFree: whether what is waited for is free for whoever is first.
    mutating func hasPassed(_ file: borrowing LockFile, isFree: Bool) throws(Errno) -> Bool {
        guard isFree, let ticket, let oldest = try oldest(before: ticket, file) else {
            suspect = nil
            return false
        }
        let now = BootTime.now
        guard var known = suspect, known.ticket == oldest else {
            suspect = Suspect(ticket: oldest, since: now, due: now)
            board?.wakeOwner(of: oldest)
            return false
        }
        known.looks += 1
        known.lateness = max(known.lateness, now.nanoseconds - known.due.nanoseconds)
        suspect = known
        // On a busy machine the one in front has to wait for a processor as long as this one had to.
        let grace = min(1_000_000_000, Self.grace(hasBoard: board != nil) + 4 * known.lateness)
        guard known.looks >= 4, now.nanoseconds - known.since.nanoseconds >= grace else {
            return false
        }
        suspect = nil
        passed = oldest
        board?.setPassed(oldest, in: name)
        wakeOldest(file)
        return true
    }

    /// How long one that was reminded may take until it takes what is free, in nanoseconds.
    ///
    /// Without a board, where nobody can be reminded, longer than the longest nap.
    private static func grace(hasBoard: Bool) -> Int64 { hasBoard ? 40_000_000 : 100_000_000 }

    /// What to sleep on until the next look.
    mutating func rest() -> QueueRest {
        let end = BootTime.now.advanced(by: .nanoseconds(nap()))
        suspect?.due = end
        return QueueRest(
            board: board, word: .slot(ticket?.slot ?? 0), bits: ticket?.bits ?? 1, seen: seen,
            end: end)
    }

    /// How long the next sleep is if nobody ends it, in nanoseconds: it bounds what a killed waiter or holder, whose
    /// death nobody tells of, costs the others.
    ///
    /// With jitter, so that those who began together do not go on together. A waiter that nobody wakes takes
    /// 0.2 % of a core, most of it for waking up. Of many each sleeps longer, but not all: it is enough that one of
    /// them notices a death.
    private func nap() -> Int64 {
        if suspect != nil {
            return board == nil ? 25_000_000 + jitter(upTo: 5_000_000) : 10_000_000
        }
        guard let board else {
            // Nobody can be woken. Half of what it took so far, so that short waits are short and long ones rare:
            // in the long run 16 looks a second.
            let waited = BootTime.now.nanoseconds - standstill.nanoseconds
            return max(400_000, min(waited / 2, 50_000_000 + jitter(upTo: 25_000_000)))
        }
        let times = min(8, max(1, Int64(board.waiters(inQueueOfSlot: name.slot) / 16)))
        return 40_000_000 + jitter(upTo: 15_000_000 + (times - 1) * 95_000_000)
    }

    // MARK: Tickets

    private var order: TicketOrder {
        TicketOrder(at: Ticket(at: TicketClock.units(at: .now, isLocal: isLocal)))
    }

    /// From which rank on tickets count: behind the one that was passed last.
    private func firstRank(_ order: TicketOrder) -> Int {
        var first = 0
        if let passed { first = order.rank(of: passed) + 1 }
        if let passed = board?.passed(in: name), order.isPast(passed) {
            first = max(first, order.rank(of: passed) + 1)
        }
        return first
    }

    private func oldest(
        before ticket: Ticket, _ file: borrowing LockFile
    ) throws(Errno) -> Ticket? {
        let order = order
        let (first, own) = (firstRank(order), order.rank(of: ticket))
        return first < own ? try oldest(in: first..<own, order, file) : nil
    }

    /// The oldest of somebody else's tickets there; nil for none.
    private func oldest(
        in ranks: Range<Int>, _ order: TicketOrder, _ file: borrowing LockFile
    ) throws(Errno) -> Ticket? {
        // The kernel finds one of them, nearly always that which was locked first.
        var found: Ticket?
        var end = ranks.upperBound
        while end > ranks.lowerBound,
            let older = try locked(in: ranks.lowerBound..<end, order, file)
        {
            found = older
            end = order.rank(of: older)
        }
        return found
    }

    /// One of somebody else's tickets there; nil for none.
    private func locked(
        in ranks: Range<Int>, _ order: TicketOrder, _ file: borrowing LockFile
    ) throws(Errno) -> Ticket? {
        guard !ranks.isEmpty else { return nil }
        let start = name.byte(of: order.ticket(at: ranks.lowerBound))
        // Bytes go around the range where numbers go around.
        let count = min(ranks.count, name.start + TicketOrder.count - start)
        var byte = try file.byteOfOthers(at: start, count: count)
        if byte == nil, count < ranks.count {
            byte = try file.byteOfOthers(at: name.start, count: ranks.count - count)
        }
        return byte.map { Ticket(UInt32(truncatingIfNeeded: $0 - name.start)) }
    }
}
