import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// What is told of which change, and to whom.
@Suite(.ownThreads) struct ChangeTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store.telling(at: path) }

    /// Checks what has been told of a store against what it holds.
    private func check(_ store: Store) throws {
        let changes = try store.allChanges()
        #expect(flaw(in: changes) == nil)
        #expect(try Replay(changes) == Replay(listing: store))
    }

    // MARK: Which changes are told

    @Test func eachChangeOfAKeyIsTold() throws {
        let store = try makeStore()
        _ = try store.claimAndFinalize("published", "value".utf8)
        try store.win("given-up")?.abandon()
        _ = try store.claimAndFinalize("removed", pattern(100_000))
        try store.remove("removed")
        let anew = try store.win("anew")
        try anew?.finalize("old".utf8)
        let again = try #require(try store.win("anew", maxAge: .zero))
        #expect(try store.remove("anew", includingPending: true))
        #expect(again.generation > anew?.generation ?? 0)
        let short = try store.win("stale", staleAfter: .milliseconds(1))
        // Kept: one that is let go is given up.
        var later: Kept?
        #expect(
            waitUntil {
                later = try? store.win("stale", staleAfter: .milliseconds(1))
                return later != nil
            })
        #expect(waitUntil { (try? store.reap().count) == 1 })
        var limits = Store.ReapLimits()
        limits.maxEntries = 0
        #expect(try store.reap(limits).map(\.key) == ["published"])
        let expected: [Store.Key: [String]] = [
            "published": ["claimed", "finalized", "reaped"],
            "given-up": ["claimed", "abandoned"],
            "removed": ["claimed", "finalized", "removed"],
            "anew": ["claimed", "finalized", "claimed", "removed", "removed"],
            "stale": ["claimed", "taken-over", "reaped"],
        ]
        for (key, events) in expected { #expect(try store.events(of: key) == events, "\(key)") }
        #expect(try Replay(store.allChanges()).entries.isEmpty)
        try check(store)
        withExtendedLifetime((short, again, later)) {}
    }

    @Test func anEventNamesTheGenerationThatItBeginsOrEnds() throws {
        let store = try makeStore()
        let first = try #require(try store.win("key"))
        try first.finalize("value".utf8)
        let second = try #require(try store.win("key", maxAge: .zero))
        try second.abandon()
        try store.remove("key")
        #expect(
            try store.allChanges().map { "\($0.number) \($0.event.name) \($0.generation)" } == [
                "1 claimed \(first.generation)", "2 finalized \(first.generation)",
                "3 claimed \(second.generation)", "4 abandoned \(second.generation)",
                "5 removed \(first.generation)",
            ])
    }

    @Test func whatChangesNothingIsNotTold() throws {
        let (store, other) = (try makeStore(), try Store(at: path))
        let claim = try #require(try store.win("key"))
        #expect(try other.win("key") == nil)
        try claim.finalize("value".utf8)
        #expect(try other.win("key") == nil)
        try other.session.finalize(
            "key", by: .generation(claim.generation),
            .bytes(UnsafeRawBufferPointer(start: nil, count: 0)))
        #expect(try !other.session.abandon("key", by: .generation(claim.generation)))
        #expect(try !other.remove("absent"))
        #expect(try other.bytes(of: "key") != nil && other.counts().ready == 1)
        #expect(try other.reap().isEmpty)
        #expect(try store.events(of: "key") == ["claimed", "finalized"])
        #expect(try store.allChanges().count == 2)
    }

    /// A damaged record ends its value, though nobody can read which it was.
    @Test func whatIsSetAsideIsRemoved() throws {
        let store = try makeStore()
        _ = try store.claimAndFinalize("key", "value".utf8)
        let record = try #require(contents(of: try file(of: "key", in: path)))
        write(record.dropLast(), to: try file(of: "key", in: path))
        #expect(try store.bytes(of: "key") == nil)
        #expect(try store.events(of: "key") == ["claimed", "finalized", "removed"])
        try check(store)
    }

    // MARK: Leases

    @Test func aLeaseIsLeasedReleasedAndLeasedAgain() throws {
        let store = try makeStore()
        let first = try #require(try store.lease("lease", .seconds(3600)))
        try first.renew()
        #expect(try store.tryLease("lease") == nil)
        try first.release()
        let second = try #require(try store.lease("lease", .seconds(3600)))
        #expect(
            try store.allChanges().map { "\($0.event.name) \($0.generation)" } == [
                "leased \(first.generation)", "released \(first.generation)",
                "leased \(second.generation)",
            ])
        try check(store)
    }

    /// Where somebody else is granted it, that its time was over is told at once with that.
    @Test func aLeaseThatIsOverExpiresWhenItIsTaken() throws {
        let store = try makeStore()
        let first = try #require(try store.lease("lease", .milliseconds(1)))
        let second = KeptLease(try store.acquireLease("lease", timeToLive: .seconds(3600)))
        #expect(
            try store.allChanges().map { "\($0.event.name) \($0.generation)" } == [
                "leased \(first.generation)", "expired \(first.generation)",
                "leased \(second.generation)",
            ])
        try check(store)
    }

    @Test func whoReapsEndsLeasesThatAreOver() throws {
        let store = try makeStore()
        let lease = try #require(try store.lease("lease", .milliseconds(1)))
        #expect(waitUntil { lease.timeLeft == .zero })
        try store.reap()
        try store.reap()
        #expect(try store.events(of: "lease") == ["leased", "expired"])
        #expect(try !store.isCurrent(lease.generation, ofLease: "lease"))
        // Nobody has taken it: it may be renewed, and then it is leased again.
        try lease.renew()
        #expect(try store.events(of: "lease") == ["leased", "expired", "leased"])
        #expect(waitUntil { lease.timeLeft == .zero })
        try store.reap()
        // Its end was told: giving it back tells nothing.
        try lease.release()
        #expect(try store.events(of: "lease") == ["leased", "expired", "leased", "expired"])
        try check(store)
    }

    @Test func whoWatchesEndsLeasesThatAreOver() throws {
        let (store, other) = (try makeStore(), try Store(at: path))
        let early = try #require(try other.lease("early", .milliseconds(50), slots: 2))
        let watch = try ChangeWatch(store.session, prefix: nil, from: nil)
        let late = try #require(try other.lease("late", .milliseconds(50)))
        var told: [String] = []
        while told.count < 3, let change = try watch.next(waiting: .seconds(30)) {
            told.append("\(change.event.name) \(change.key)")
        }
        #expect(told.first == "leased late")
        #expect(Set(told.dropFirst()) == ["expired early", "expired late"])
        try check(store)
        withExtendedLifetime((early, late)) {}
    }

    @Test func aLeaseEndsWithItsOwner() throws {
        let store = try makeStore()
        let owner = Child("sleep", ["1000"])
        let identity = try #require(try ProcessIdentity(of: owner.id))
        let request = LeaseRequest(
            timeToLive: nil, owner: identity, processID: owner.id, command: [])
        guard
            case .granted = try store.session.acquireLease(
                "lease", request, waiting: .zero, whileWaiting: { _, _ in })
        else { throw Unexpected("it is free") }
        try store.reap()
        #expect(try store.events(of: "lease") == ["leased"])
        owner.kill(SIGKILL)
        _ = owner.wait()
        try store.reap()
        #expect(try store.events(of: "lease") == ["leased", "expired"])
        try check(store)
    }

    // MARK: Where to begin

    @Test func aWatchBeginsWithTheNextChangeOrWithANumber() throws {
        let store = try makeStore()
        #expect(try store.allChanges().isEmpty)
        let fresh = try ChangeWatch(store.session, prefix: nil, from: nil)
        _ = try store.claimAndFinalize("a/1", [])
        _ = try store.claimAndFinalize("b/1", [])
        #expect(try fresh.nextIfThere()?.number == 1)
        let late = try ChangeWatch(store.session, prefix: "a/", from: nil)
        _ = try store.claimAndFinalize("b/2", [])
        _ = try store.claimAndFinalize("a/2", [])
        #expect(try late.nextIfThere()?.number == 7)
        for number in 1...8 {
            let numbers = try store.allChanges(from: UInt64(number)).map { Int($0.number) }
            #expect(numbers == Array(number...8))
        }
        #expect(try store.allChanges(from: 9).isEmpty)
        #expect(storeError { _ = try store.allChanges(from: 10) }?.code == .invalidNumber)
        #expect(storeError { _ = try store.allChanges(from: 0) }?.code == .invalidNumber)
    }

    @Test func aNumberBeyondTheFirstOfAnEmptyJournalIsRefused() throws {
        let store = try makeStore()
        #expect(storeError { _ = try store.allChanges(from: 2) }?.code == .invalidNumber)
        let watch = try ChangeWatch(store.session, prefix: nil, from: 1)
        #expect(try watch.next(waiting: .zero) == nil)
        _ = try store.win("key")
        #expect(try watch.next(waiting: .seconds(30))?.number == 1)
    }

    @Test func aStoreThatDoesNotTellCannotBeWatched() throws {
        let store = try Store(at: path)
        for _ in 0..<2 {
            let error = storeError { _ = try store.allChanges() }
            #expect(error?.code == .badConfiguration)
            #expect(error?.description.contains("init --journal") == true)
            _ = try store.claimAndFinalize("key", [])
        }
        #expect(contents(of: path + "/locks/intents") == nil)
        #expect(!names(in: path).contains("journal"))
    }

    @Test func aWatchedStoreThatIsRemovedIsAnError() throws {
        let store = try makeStore()
        _ = try store.claimAndFinalize("key", [])
        let watch = try ChangeWatch(store.session, prefix: nil, from: 2)
        #expect(try watch.next(waiting: .zero)?.event == .finalized)
        removeTree(path)
        #expect(storeError { _ = try watch.next(waiting: .seconds(30)) }?.code == .notAStore)
    }

    // MARK: Restarts

    /// Of another boot, or in a copy, what is there may be older than what was told.
    @Test func aRestartIsToldOnceBeforeAnythingElse() throws {
        let store = try makeStore()
        _ = try store.claimAndFinalize("key", [])
        let intents = try #require(try store.session.forWriting().changes).intents()
        let header = try #require(try intents.readHeader())
        let other = IntentHeader(
            device: header.device, inode: header.inode, boot: BootID(high: 1, low: 2), number: 0,
            isTold: true)
        try intents.write(other)
        _ = try Store(at: path).claimAndFinalize("key-2", [])
        _ = try Store(at: path).claimAndFinalize("key-3", [])
        #expect(
            try store.allChanges().map(\.event.name) == [
                "claimed", "finalized", "restarted", "claimed", "finalized", "claimed",
                "finalized",
            ])
        #expect(try intents.readHeader()?.number == 3)
        // Noted, and killed before the record, or behind it.
        for (number, isNew) in [(UInt64(8), true), (3, false)] {
            try intents.write(
                IntentHeader(
                    device: header.device, inode: header.inode, boot: header.boot,
                    number: number, isTold: false))
            let count = try store.allChanges().count
            try #require(try Store(at: path).session.forWriting().changes).tellOfRestart()
            #expect(try store.allChanges().count == count + (isNew ? 1 : 0), "\(number)")
            #expect(try intents.readHeader()?.isTold == true)
        }
        #expect(try flaw(in: store.allChanges().filter { $0.event != .restarted }) != nil)
        #expect(try Replay(store.allChanges()) == Replay(listing: store))
    }

    @Test func aCopyTellsThatItIsOne() throws {
        let store = try makeStore()
        _ = try store.claimAndFinalize("key", [])
        let copied = run("cp", ["-a", path, directory("copy")])
        #expect(copied.code == 0)
        let copy = try Store(at: directory("copy"))
        let watch = try ChangeWatch(copy.session, prefix: "none", from: 1)
        #expect(try watch.nextIfThere()?.event == .restarted)
        _ = try copy.claimAndFinalize("key-2", [])
        #expect(
            try copy.allChanges().map(\.event.name) == [
                "claimed", "finalized", "restarted", "claimed", "finalized",
            ])
        #expect(try store.allChanges().count == 2)
    }
}
