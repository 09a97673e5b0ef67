#if Async

import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// What tasks wait for keys with, where a key cannot be looked at.
@Suite struct KeyTicketTests {
    private func ticket(
        _ tickets: KeyTickets, _ look: @escaping @Sendable () -> KeySnapshot?
    ) throws -> KeyTickets.Ticket {
        let subject = KeyTickets.Subject(name: try EntryName("key"), look: look)
        return tickets.draw(
            subject, with: nil, until: BootTime.now.advanced(by: .seconds(1000)), forChange: true)
    }

    private func isOver(_ ticket: KeyTickets.Ticket) -> Bool {
        let over = Counter()
        ticket.wait { over.add(1) }
        return over.value == 1
    }

    /// As where descriptors are short for a moment: its task would sleep to the end of its wait.
    @Test func aTicketOfAKeyThatCouldNotBeSeenEndsSoon() throws {
        let tickets = KeyTickets()
        let failures = Counter()
        let ticket = try ticket(tickets) {
            failures.add(1)
            return failures.value == 1 ? nil : KeySnapshot(generation: 1, isHeld: true)
        }
        // Each look says when the next is due.
        var next = tickets.look(with: nil)
        var looks = 0
        while let due = next, looks < 3 {
            looks += 1
            #expect(due < BootTime.now.advanced(by: .seconds(1)))
            sleep(nanoseconds: max(1, due.nanoseconds - BootTime.now.nanoseconds))
            next = tickets.look(with: nil)
        }
        #expect(next == nil && isOver(ticket))
    }

    @Test func aTicketOfAKeyThatStaysAsItIsDoesNotEnd() throws {
        let tickets = KeyTickets()
        let ticket = try ticket(tickets) { KeySnapshot(generation: 1, isHeld: true) }
        for _ in 0..<3 { #expect(tickets.look(with: nil) != nil) }
        #expect(!isOver(ticket))
        ticket.giveBack()
        #expect(tickets.look(with: nil) == nil)
    }
}

#endif
