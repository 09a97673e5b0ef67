/// Somebody's place in a queue: when it came, in units of 65.5 µs.
///
/// It is a byte of the queue's range of the lock table, locked for as long as its owner waits. The number goes
/// around after 78 hours.
struct Ticket: Hashable, Sendable {
    let number: UInt32

    init(_ number: UInt32) { self.number = number }

    /// That of a time in the units of `TicketClock`.
    init(at time: Int64) { number = UInt32(truncatingIfNeeded: time) }

    /// The one that comes next where this one is somebody else's.
    var next: Ticket { Ticket(number &+ 1) }
    var previous: Ticket { Ticket(number &- 1) }

    /// The slot of the board on whose word its owner sleeps: spread, so that few share one.
    var slot: Int { Int(scattered >> 20) & (BoardLayout.slotCount - 1) }
    /// The bit of that word that wakes its owner.
    var bits: UInt32 { 1 << (scattered >> 15 & 31) }

    private var scattered: UInt32 { number &* 2_654_435_761 }
}

/// The order of tickets at a moment: those of the last 39 hours, the oldest first.
///
/// Whoever has waited for longer counts as the newest. So the order has no circle at any moment, where a
/// comparison of two by their distance would have one: each of three that are a third of the way around apart
/// would come after another.
struct TicketOrder: Sendable {
    /// The ticket whose rank is 0.
    private let origin: UInt32
    /// How many ranks there are.
    static let count = 1 << 32
    /// How far ahead of the clock a ticket may be that was drawn by it: one that met with others takes the next.
    private static let slack = 1 << 14

    init(at now: Ticket) { origin = now.number &- 0x8000_0000 }

    func rank(of ticket: Ticket) -> Int { Int(ticket.number &- origin) }
    func ticket(at rank: Int) -> Ticket {
        Ticket(origin &+ UInt32(truncatingIfNeeded: rank))
    }

    /// Whether a ticket has been drawn before this moment; otherwise what says so is nonsense.
    func isPast(_ ticket: Ticket) -> Bool { rank(of: ticket) <= 0x8000_0000 + Self.slack }
}

/// Whose queue it is: a range of 2^32 bytes of a file of the lock table.
///
/// 36 bits of the hash tell it from others. Two keys that meet in one queue wait for one another at most until
/// the one in front is passed.
struct QueueName: Sendable {
    /// The file of the lock table.
    let table: Int
    /// The byte of ticket 0.
    let start: Int
    /// The slot of the board that has what is known of the queue.
    let slot: Int

    /// That of a lock.
    ///
    /// The bits are the highest, so that keys that meet in a queue have different slots.
    init(ofLock hash: UInt64, slot: Int) {
        table = Int(hash & 63)
        start = 1 << 62 + Int(hash >> 34) << 32
        self.slot = slot
    }

    /// That of a lease: between the journals and the queues of locks.
    init(ofLease hash: UInt64, slot: Int) {
        table = Int(hash & 63)
        start = 1 << 61 + Int(hash >> 35) << 32
        self.slot = slot
    }

    func byte(of ticket: Ticket) -> Int { start + Int(ticket.number) }
}
