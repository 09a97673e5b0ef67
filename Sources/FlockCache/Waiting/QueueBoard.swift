internal import SystemCalls

// What the board has of queues. As everything there it is a hint: who is first the locked bytes of tickets say.
//
// The queue's own slot has the time until which somebody waits in it, how many wait, which ticket was passed last,
// and when what is waited for last became free. Those who wait sleep each on a word that its ticket chooses among
// those of all slots, so that few share one.

extension Board {
    /// Longer than the longest nap of who waits in a queue.
    private static let queueAnnouncement = Duration.seconds(2)

    /// Says that somebody waits in a queue, and returns what the word of its ticket is.
    ///
    /// Look at what is waited for after this, and then sleep.
    func announce(_ queue: QueueName, _ ticket: Ticket) -> UInt32 {
        memory.setTime(announcement, at: offset(queue) + 8)
        return look(.slot(ticket.slot))
    }

    /// Whether somebody seems to wait in a queue, or in another of its slot.
    @inline(__always)
    func isWaitedFor(_ queue: QueueName) -> Bool { isWaitedFor(queueOfSlot: queue.slot) }

    private func isWaitedFor(queueOfSlot slot: Int) -> Bool {
        let now = TicketClock.now
        return memory.time(at: BoardLayout.slot(slot) + 8) > now || isDoubtful(at: now)
    }

    /// Whether it was made a moment ago, in the place of another perhaps, on which those sleep who wait.
    private func isDoubtful(at now: BootTime) -> Bool {
        // A time further ahead is nonsense.
        doubtfulUntil > now && doubtfulUntil < now.advanced(by: .seconds(10))
    }

    /// What stands on a board that is made now, until when it is doubtful.
    static var doubt: BootTime { TicketClock.now.advanced(by: queueAnnouncement) }

    /// Wakes the owner of a ticket.
    func wakeOwner(of ticket: Ticket) {
        call(.slot(ticket.slot), bits: ticket.bits)
        wake(.anything, bits: .max)
    }

    private var announcement: BootTime { TicketClock.now.advanced(by: Self.queueAnnouncement) }

    /// Counts one more who waits in a queue, and says that somebody does.
    ///
    /// For people, and for how long naps are. Where nobody seems to wait, those counted were killed, and the count
    /// begins anew: by the one who is the first to say again that somebody does. One that is stopped for longer than
    /// what it says lasts is taken for killed.
    func join(_ queue: QueueName) {
        let (time, count) = (offset(queue) + 8, offset(queue) + 4)
        let said = memory.time(at: time)
        let counted = memory.word(at: count)
        if isWaitedFor(queue) {
            memory.setTime(announcement, at: time)
            memory.add(1, at: count)
        } else if memory.replace(said, by: announcement, at: time) {
            memory.add(1 &- Int32(bitPattern: counted), at: count)
        } else {
            memory.add(1, at: count)
        }
    }

    func leave(_ queue: QueueName) {
        let place = offset(queue) + 4
        while true {
            let counted = memory.word(at: place)
            if counted == 0 || memory.replace(counted, by: counted - 1, at: place) { return }
        }
    }

    /// How many seem to wait in the queues of a slot.
    func waiters(inQueueOfSlot slot: Int) -> Int {
        guard isWaitedFor(queueOfSlot: slot) else { return 0 }
        return max(0, Int(Int32(bitPattern: memory.word(at: BoardLayout.slot(slot) + 4))))
    }

    /// The ticket that was passed last; 0 is none.
    func passed(in queue: QueueName) -> Ticket? {
        let number = memory.word(at: offset(queue) + BoardLayout.passed)
        return number == 0 ? nil : Ticket(number)
    }

    func setPassed(_ ticket: Ticket, in queue: QueueName) {
        memory.setWord(ticket.number, at: offset(queue) + BoardLayout.passed)
    }

    /// Says that what is waited for in a queue has become free.
    func noteFreed(_ queue: QueueName) {
        memory.setTime(TicketClock.now, at: offset(queue) + BoardLayout.freed)
    }

    /// When what is waited for in a queue was said to be free last.
    func freed(_ queue: QueueName) -> BootTime {
        memory.time(at: offset(queue) + BoardLayout.freed)
    }

    /// Whether what is waited for in a queue became free a moment ago, so that who is first may be on its way.
    func hasJustBeenFreed(_ queue: QueueName) -> Bool {
        let time = memory.time(at: offset(queue) + BoardLayout.freed)
        // A time ahead is another boot's, or nonsense.
        let now = TicketClock.now
        return isDoubtful(at: now)
            || time <= now && now < time.advanced(by: .milliseconds(100))
    }

    private func offset(_ queue: QueueName) -> Int { BoardLayout.slot(queue.slot) }
}
