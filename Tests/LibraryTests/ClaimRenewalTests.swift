import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Claims that are stale after a time, and renewed.
@Suite(.ownThreads) struct ClaimRenewalTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    private func section(of key: Store.Key) throws -> ClaimSection {
        let bytes = try #require(contents(of: try file(of: key, in: path) + ".pending"))
        return try #require(bytes.withUnsafeBytes { ClaimSection.parse($0)?.section })
    }

    /// Each time by as much as was asked for at first.
    @Test func itsTimeBeginsAgain() throws {
        let (store, rival) = (try makeStore(), try makeStore())
        let claim = try #require(try store.win("key", staleAfter: .milliseconds(400)))
        let first = try section(of: "key")
        let start = BootTime.now
        while start.milliseconds() < 1000 {
            try claim.renew()
            #expect(try rival.win("key") == nil)
            usleep(20_000)
        }
        let last = try section(of: "key")
        #expect(last.since == first.since && last.staleAfter == 400_000)
        let left = try #require(last.deadline).timeLeft(
            of: last.place, from: try store.session.forWriting().place())
        #expect(left <= 400_000)
        #expect(try store.counts().pending == 1)
        try claim.finalize("value".utf8)
        #expect(try rival.bytes(of: "key") == Array("value".utf8))
        #expect(try store.counts().pending == 0 && store.counts().ready == 1)
        #expect(leftovers(in: path) == [])
    }

    @Test func whatHasNoTimeNeedsNone() throws {
        let store = try makeStore()
        let claim = try #require(try store.win("key"))
        let before = contents(of: try file(of: "key", in: path) + ".pending")
        try claim.renew()
        #expect(contents(of: try file(of: "key", in: path) + ".pending") == before)
    }

    /// A record of a program that could not renew: the time is that from `since` to `deadline`.
    @Test func anOlderRecordIsRenewedByItsTime() throws {
        let store = try makeStore()
        let claim = try #require(try store.win("key", staleAfter: .seconds(100)))
        var older = try section(of: "key")
        older.staleAfter = nil
        write(older.text, to: try file(of: "key", in: path) + ".pending")
        try claim.renew()
        #expect(try section(of: "key").staleAfter == 100_000_000)
    }

    @Test func whoHasLostItIsTold() throws {
        let (store, rival) = (try makeStore(), try makeStore())
        let claim = try #require(try store.win("key", staleAfter: .milliseconds(1)))
        var taken: Kept?
        #expect(waitUntil { (try? rival.win("key")).map { taken = $0 } != nil && taken != nil })
        let before = contents(of: try file(of: "key", in: path) + ".pending")
        let lost = storeError { try claim.renew() }
        #expect(lost?.code == .claimLost && lost?.holder?.processID == getpid(), "\(lost as Any)")
        #expect(contents(of: try file(of: "key", in: path) + ".pending") == before)
        try taken?.finalize("rival".utf8)
        #expect(storeError { try claim.renew() }?.code == .claimLost)
        try store.remove("key")
        #expect(storeError { try claim.renew() }?.code == .claimLost)
        #expect(storeError { try makeStore().session.renew("other", 5) }?.code == .claimLost)
        #expect(leftovers(in: path) == [])
    }

    /// Over, and taken by nobody.
    @Test func lateIsEarlyEnoughWhereNobodyElseAsks() throws {
        let (store, rival) = (try makeStore(), try makeStore())
        let claim = try #require(try store.win("key", staleAfter: .milliseconds(200)))
        #expect(
            waitUntil { (try? section(of: "key").deadline)?.flatMap { isOver($0) } == true })
        try claim.renew()
        #expect(try rival.win("key") == nil)
    }

    private func isOver(_ deadline: Stamp) -> Bool? { Stamp.now.boot > deadline.boot }

    /// A claim whose owner has ended is anybody's, whatever its time.
    @Test func theDeadDoNotRenew() throws {
        let store = try makeStore()
        let owner = Child("sleep", ["1000"])
        let identity = try #require(try ProcessIdentity(of: owner.id))
        let outcome = try store.session.claim(
            "key", for: .process(identity, command: []), maxAge: nil, staleAfter: .seconds(3600))
        guard case .won(let generation, _) = outcome else { throw Unexpected("taken") }
        #expect(try store.session.renew("key", generation) == .seconds(3600))
        owner.kill(SIGKILL)
        _ = owner.wait()
        let lost = storeError { try store.session.renew("key", generation) }
        #expect(lost?.code == .claimLost, "\(lost as Any)")
    }

    /// What nobody owns is renewed anywhere, and then of that place; of an owner elsewhere, only there.
    @Test func aClaimOfAnotherBoot() throws {
        let store = try makeStore()
        let other = Place(boot: BootID(high: 1, low: 2), processNamespace: 7, timeNamespace: 8)
        let outcome = try store.session.claim(
            "key", for: .nobody, maxAge: nil, staleAfter: .seconds(3600))
        guard case .won(let generation, _) = outcome else { throw Unexpected("taken") }
        let real = try section(of: "key").place
        func move() throws {
            var moved = try section(of: "key")
            moved.place = other
            moved.deadline = Stamp(wall: moved.deadline?.wall ?? 0, boot: 1)
            write(moved.text, to: try file(of: "key", in: path) + ".pending")
        }
        try move()
        try store.session.renew("key", generation)
        let renewed = try section(of: "key")
        #expect(renewed.place == real && renewed.staleAfter == 3_600_000_000)
        #expect(try store.win("key") == nil)
        var owned = renewed
        owned.place = Place(
            boot: real.boot, processNamespace: real.processNamespace, timeNamespace: 8)
        owned.holder = .session(try store.session.id())
        write(owned.text, to: try file(of: "key", in: path) + ".pending")
        let lost = storeError { try store.session.renew("key", generation) }
        #expect(lost?.code == .claimLost, "\(lost as Any)")
    }

    /// At its deadline a claim is renewed, finalized and taken over at once, again and again: one wins each time.
    @Test func atItsDeadlineOneWins() throws {
        let store = try makeStore()
        var random = Seeded("ClaimRenewalTests")
        var (kept, taken) = (0, 0)
        for round in 0..<(wantsLongTests ? 2000 : 60) {
            let key = Store.Key("key-\(round)")
            let time = Int.random(in: 2...6, using: &random)
            let claim = try #require(try store.win(key, staleAfter: .milliseconds(time)))
            let rivals = (0..<2).map { _ in
                WaitingThread<Told> { _ in
                    let rival = try Store(at: self.path)
                    let end = BootTime.now.advanced(by: .milliseconds(time * 2))
                    while BootTime.now < end {
                        let told = try rival.claimAndFinalize(key, "rival".utf8)
                        if told != .pending { return told }
                    }
                    return .pending
                }
            }
            var isMine = true
            let end = BootTime.now.advanced(
                by: .milliseconds(time + Int.random(in: 0...2, using: &random)))
            while isMine && BootTime.now < end { isMine = storeError { try claim.renew() } == nil }
            let failure = storeError { try claim.finalize("mine".utf8) }
            #expect(failure == nil || failure?.code == .claimLost)
            // Who was told once that it is lost cannot finalize.
            #expect(isMine || failure != nil)
            let told = try rivals.map { try $0.result() }
            let wins = told.count { $0.isWon }
            #expect(wins == (failure == nil ? 0 : 1), "\(told), \(failure as Any)")
            let value = try store.bytes(of: key)
            #expect(value == Array((failure == nil ? "mine" : "rival").utf8))
            if failure == nil { kept += 1 } else { taken += 1 }
        }
        print("kept \(kept), taken over \(taken)")
        #expect(leftovers(in: path) == [])
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }
}
