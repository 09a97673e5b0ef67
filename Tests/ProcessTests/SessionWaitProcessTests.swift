import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// `Session.wait`: for a value, without ever taking a claim over.
@Suite(.ownThreads) struct SessionWaitProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    @Test func aDeadHoldersClaimThatNobodyTakesOverIsAbsentAfterASecond() throws {
        let store = try Store(at: path)
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won "))
        let waiter = store.waitInThread("key")
        #expect(waiter.waitForSleep())
        let death = BootTime.now
        peer.kill()
        #expect(try waiter.result() == .absent)
        let time = death.milliseconds(to: waiter.ended)
        print("absent after \(time) ms")
        #expect(time >= 1000 && time < 4000)
        #expect(StoreFiles(path).pending == 1, "waiting takes nothing over")
    }

    @Test func aDeadHoldersClaimThatSomebodyTakesOverIsWaitedFor() throws {
        let store = try Store(at: path)
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won "))
        let waiter = store.waitInThread("key")
        #expect(waiter.waitForSleep())
        let death = BootTime.now
        peer.kill()
        let looks = waiter.count
        #expect(waitUntil { waiter.count >= looks + 3 })
        let successor = try store.win("key")
        #expect(successor != nil && death.milliseconds() < 900, "the machine is too busy")
        // Well beyond the second that the dead one's claim had.
        #expect(waitUntil { death.milliseconds() > 1500 })
        try successor?.finalize("value".utf8)
        #expect(try waiter.result() == .ready(Array("value".utf8)))
    }

    @Test func whoWaitsForWhatIsAbsentTooWaitsForSomebodyToBegin() throws {
        let store = try Store(at: path)
        let waiter = store.waitInThread("key", alsoAbsent: true)
        let brief = store.waitInThread("key", wait: .milliseconds(30), alsoAbsent: true)
        // There is no store yet, and so no board.
        #expect(waiter.waitForSleep())
        #expect(names(in: directory.path).isEmpty, "waiting makes no store")
        #expect(try brief.result() == .pending)
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won "))
        #expect(peer.ask("abandon") == "done")
        #expect(peer.ask("claim key").hasPrefix("won "))
        #expect(peer.ask("finalize value") == "done")
        #expect(try waiter.result() == .ready(Array("value".utf8)))
    }

    @Test func whoWaitsForWhatIsAbsentTooWaitsThroughADeath() throws {
        let store = try Store(at: path)
        leaveStaleClaim("key", in: path)
        let waiter = store.waitInThread("key", alsoAbsent: true)
        let begin = BootTime.now
        #expect(waitUntil { begin.milliseconds() > 1300 })
        #expect(try store.claimAndFinalize("key", "value".utf8).isWon)
        #expect(try waiter.result() == .ready(Array("value".utf8)))
    }
}
