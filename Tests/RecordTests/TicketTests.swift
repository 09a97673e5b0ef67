import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// The numbers of tickets, and where they stand in the lock table.
@Suite(.timed) struct TicketTests {
    @Test(arguments: [1 << 20, 0xffff_ffff, 0, 0x8000_0000, 0x7fff_ffff, 0x4000_0000] as [UInt32])
    func whoCameLaterIsBehindAtEveryTime(_ now: UInt32) {
        let order = TicketOrder(at: Ticket(now))
        let ages: [UInt32] = [0x7fff_ffff, 0x7fff_0000, 1 << 20, 1000, 2, 1, 0]
        let ranks = ages.map { order.rank(of: Ticket(now &- $0)) }
        #expect(ranks == ranks.sorted() && Set(ranks).count == ranks.count, "\(ranks)")
        // One that met with others took the next, which is ahead of the clock.
        #expect(order.rank(of: Ticket(now).next) == order.rank(of: Ticket(now)) + 1)
        for age in ages {
            let ticket = Ticket(now &- age)
            #expect(order.isPast(ticket))
            #expect(order.ticket(at: order.rank(of: ticket)) == ticket)
        }
        #expect(!order.isPast(Ticket(now &+ 1 << 20)))
        // Who has waited for two days is behind everybody.
        let old = Ticket(now &- 0x9000_0000)
        #expect(order.rank(of: old) > order.rank(of: Ticket(now)))
    }

    @Test func placesAreThoseThatAreStated() throws {
        // FNV-1a 64 of "hello" is a430d84680aabd0b.
        let queue = try LockName("hello").queue
        #expect(queue.table == 0x0b)
        #expect(queue.start == 0x690c_3611_0000_0000)
        #expect(queue.byte(of: Ticket(7)) == queue.start + 7)
        let last = QueueName(ofLock: .max, slot: 0)
        #expect(last.byte(of: Ticket(.max)) == .max)
        #expect(Ticket(1).slot == 2_654_435_761 >> 20 & 4095)
        #expect(Ticket(1).bits == 1 << (2_654_435_761 >> 15 & 31))
    }

    /// Who comes in a row sleeps apart.
    @Test func sleepersAreSpread() {
        let words = Set((0..<64).map { Ticket(1_000_000 + UInt32($0)).slot })
        #expect(words.count == 64)
    }
}
