import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// `Session.wait`: for a value, without ever taking a claim over.
@Suite(.ownThreads) struct SessionWaitTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    @Test func whatIsReadyIsReturnedAtOnce() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", "value".utf8).isWon)
        let waiter = store.waitInThread("key", wait: .zero)
        #expect(try waiter.result() == .ready(Array("value".utf8)))
        #expect(waiter.count == 0)
    }

    @Test func whatIsAbsentIsReportedAtOnce() throws {
        let store = try Store(at: path)
        #expect(try store.waitInThread("key").result() == .absent)
        #expect(names(in: directory.path).isEmpty, "waiting makes no store")
        #expect(try store.claimAndFinalize("other", []).isWon)
        let waiter = store.waitInThread("key")
        #expect(try waiter.result() == .absent)
        #expect(waiter.count == 0)
    }

    /// A claim whose time is over is stale, also where its holder lives or is nobody.
    @Test(arguments: [true, false])
    func aClaimWhoseTimeIsOverIsAbsentAfterASecond(hasHolder: Bool) throws {
        let store = try Store(at: path)
        var kept: Kept?
        if hasHolder {
            kept = try store.win("key", staleAfter: .milliseconds(100))
        } else {
            _ = try store.session.claim(
                "key", for: .nobody, maxAge: nil, staleAfter: .milliseconds(100))
        }
        let begin = BootTime.now
        #expect(try store.waitInThread("key").result() == .absent)
        #expect(begin.milliseconds() >= 1050 && begin.milliseconds() < 4000)
        // Nobody having taken it over, it can still be published.
        try kept?.finalize("late".utf8)
    }

    @Test func aTornClaimIsAbsentAfterASecond() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", []).isWon)
        #expect(try store.remove("key"))
        write([], to: try file(of: "key", in: path) + ".pending")
        let begin = BootTime.now
        #expect(try store.waitInThread("key").result() == .absent)
        #expect(begin.milliseconds() >= 1000 && begin.milliseconds() < 4000)
    }

    @Test func whatIsDamagedIsReportedOnceAndThenAbsent() throws {
        let store = try Store(at: path)
        let kept = try store.win("key")
        let waiter = store.waitInThread("key")
        #expect(waiter.waitForSleep())
        try kept?.finalize("value".utf8)
        #expect(try waiter.result() == .ready(Array("value".utf8)))
        let record = try file(of: "key", in: path)
        write((contents(of: record) ?? []).dropLast() + [0], to: record)
        #expect(try store.waitInThread("key").result() == .damaged)
        #expect(try store.waitInThread("key").result() == .absent)
    }
}
