import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// When those go on who wait for a lease.
@Suite(.ownThreads) struct LeaseWaitTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// The least of several: what else the machine does must not decide.
    private func least(_ rounds: Int = 10, _ body: () throws -> Double) rethrows -> Double {
        try (0..<rounds).reduce(.infinity) { least, _ in min(least, try body()) }
    }

    @Test(arguments: [true, false])
    func aReleaseWakesWhoWaits(withABoard: Bool) throws {
        let store = try Store(at: path)
        if !withABoard {
            #expect(try store.claimAndFinalize("other", [UInt8]()).isWon)
            mkdir(path + "/board", 0o700)
        }
        let late = try least {
            let kept = try #require(try store.lease("key", .seconds(3600)))
            let waiter = try Store(at: path).leaseInThread("key", .seconds(3600))
            #expect(waiter.waitForSleep())
            let begin = BootTime.now
            try kept.release()
            let won = try #require(try waiter.result())
            #expect(won.generation > kept.generation)
            try won.release()
            return begin.milliseconds(to: waiter.ended)
        }
        print("from release to the waiter having it, \(withABoard): \(late) ms at best")
        #expect(late < (withABoard ? 5 : 60))
    }

    @Test(arguments: [true, false])
    func whoWaitsHasItWhenItsTimeIsOverAndNotBefore(withABoard: Bool) throws {
        let store = try Store(at: path)
        if !withABoard {
            #expect(try store.claimAndFinalize("other", [UInt8]()).isWon)
            mkdir(path + "/board", 0o700)
        }
        let late = try least {
            let before = BootTime.now
            let kept = try #require(try store.lease("key", .milliseconds(120)))
            let after = BootTime.now
            let waiter = try Store(at: path).leaseInThread("key", .seconds(3600))
            let won = try #require(try waiter.result())
            #expect(before.milliseconds(to: waiter.ended) >= 120)
            #expect(won.generation > kept.generation)
            try won.release()
            return after.milliseconds(to: waiter.ended) - 120
        }
        print("from the end of its time to the waiter having it, \(withABoard): \(late) ms at best")
        #expect(late < 5)
    }

    @Test func aRenewedLeaseIsWaitedForLonger() throws {
        let store = try Store(at: path)
        let kept = try #require(try store.lease("key", .seconds(1)))
        let waiter = try Store(at: path).leaseInThread("key", .seconds(3600))
        #expect(waiter.waitForSleep())
        var renewed = BootTime.now
        for _ in 0..<4 {
            sleep(until: renewed.advanced(by: .milliseconds(300)))
            renewed = BootTime.now
            try kept.renew()
        }
        #expect(try waiter.result() != nil)
        #expect(renewed.milliseconds(to: waiter.ended) >= 1000)
    }

    @Test func aWaitEndsInTime() throws {
        let store = try Store(at: path)
        let kept = try store.lease("key", .seconds(3600))
        let begin = BootTime.now
        let error = storeError {
            let lease = try store.acquireLease(
                "key", timeToLive: .seconds(1), wait: .upTo(.milliseconds(150)))
            try lease.release()
        }
        #expect(error?.code == .timedOut && error?.holder?.processID == getpid(), "\(error as Any)")
        #expect(begin.milliseconds() >= 150)
        try kept?.release()
    }

    /// Of many that wait for few slots each gets one in the end.
    @Test func allWhoWaitForSlotsGetOne() throws {
        let path = path
        let results = inThreads(12) { thread in
            (try? Store(at: path)).map { store in
                (0..<5).allSatisfy { _ in
                    guard
                        let lease = try? store.acquireLease(
                            "key", timeToLive: .seconds(3600), slots: 3, wait: .upTo(.seconds(60)))
                    else { return false }
                    return (try? lease.release()) != nil
                }
            }
        }
        #expect(results == Array(repeating: true, count: 12))
    }
}
