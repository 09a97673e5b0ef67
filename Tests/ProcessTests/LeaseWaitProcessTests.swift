import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// When those go on who wait for a lease.
@Suite(.ownThreads) struct LeaseWaitProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// The least of several: what else the machine does must not decide.
    private func least(_ rounds: Int = 10, _ body: () throws -> Double) rethrows -> Double {
        try (0..<rounds).reduce(.infinity) { least, _ in min(least, try body()) }
    }

    /// The death of an owner tells nobody.
    @Test func whoWaitsHasItSoonAfterItsOwnerHasDied() throws {
        let store = try Store(at: path)
        let late = try least(3) {
            let peer = PeerProcess(path)
            let owner = try #require(try ProcessIdentity(of: peer.process.id))
            let request = LeaseRequest(
                timeToLive: nil, owner: owner, processID: peer.process.id, command: [])
            let outcome = try store.session.acquireLease("key", request, waiting: .zero) { _, _ in }
            guard case .granted(let grant) = outcome else { throw Unexpected("\(outcome)") }
            #expect(try store.session.checkLease("key", grant.generation) && grant.timeLeft == nil)
            let waiter = try Store(at: path).leaseInThread("key", .seconds(3600))
            #expect(waiter.waitForSleep())
            let begin = BootTime.now
            peer.kill()
            let won = try #require(try waiter.result())
            #expect(try !store.session.checkLease("key", grant.generation))
            try won.release()
            return begin.milliseconds(to: waiter.ended)
        }
        print("from its owner's death to the waiter having it: \(late) ms at best")
        #expect(late < 150)
    }
}
