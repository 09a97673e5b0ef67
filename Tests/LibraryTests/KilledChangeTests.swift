import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// What a killed process leaves of a change at each point at which telling of it may end, and who tells in its place.
@Suite(.ownThreads) struct KilledChangeTests {
    /// How far the killed one came.
    enum Point: CaseIterable {
        /// The mark is set.
        case begun
        /// The files are changed.
        case changed
        /// The number of its record is noted.
        case noted
        /// The record is written.
        case told
    }

    /// Who comes next.
    enum Next: CaseIterable { case claim, count, list, reap, watch, lease }

    /// A change as its steps, of a key in an old state.
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let prepare: @Sendable (Store, EntryName) throws -> Void
        let intent: @Sendable (Store, EntryName) throws -> Intent
        let change: @Sendable (Store, EntryName, Intent) throws -> Void
        /// What is told of it.
        let events: [String]
        /// Whether half of it is undone where the mark alone is set.
        var isHalfDone = false
    }

    private let directory = TemporaryDirectory()

    private func generation(_ store: Store, _ name: EntryName) throws -> Store.Generation {
        try Replay(listing: store).entries[name.key]?.ready ?? 0
    }

    /// Makes the change up to a point, and leaves the mark as a killed process does.
    private func leave(_ row: Row, at point: Point, _ name: EntryName, _ store: Store) throws {
        let opened = try store.session.forWriting()
        let changes = try #require(opened.changes)
        let intent = try row.intent(store, name)
        var held = try HeldShard(opened, name.shard)
        try held.begin(generation: intent.generation, intent)
        guard point != .begun else { return }
        try row.change(store, name, intent)
        var left = try #require(try changes.intents().read(name.shard))
        switch point {
        case .begun, .changed: break
        case .noted:
            left.number = try #require(try JournalSurvey(of: changes.journal)).last + 1
            try changes.intents().write(left, of: name.shard)
        case .told: try changes.tell(left, of: name.shard, patience: .seconds(10))
        }
        // Dropped without `commit`: what is told and cleared after this is not the killed one's.
    }

    private func come(_ next: Next, _ store: Store, _ other: Store.Key) throws {
        switch next {
        case .claim: _ = try store.win(other)
        case .count: #expect(try store.counts().isExact)
        case .list: _ = try Replay(listing: store)
        case .reap: try store.reap()
        case .watch: _ = try ChangeWatch(store.session, prefix: nil, from: nil).goRound()
        case .lease: _ = try store.tryLease(other)
        }
    }

    @Test(arguments: Row.all, Point.allCases)
    func whoComesNextTellsOnce(_ row: Row, point: Point) throws {
        let keys = TestHelpers.keys(2 * Next.allCases.count, inShard: 0x5a)
        for (index, next) in Next.allCases.enumerated() {
            // A listing takes the mutexes of shards that have entries.
            if next == .list && row.testDescription == "lease" { continue }
            let store = try Store.telling(at: directory("\(next)"))
            // Something was told before, so that numbers are not all 1.
            _ = try store.claimAndFinalize("other-shard", [])
            let name = try EntryName(keys[2 * index])
            try row.prepare(store, name)
            let before = try store.allChanges().count
            try leave(row, at: point, name, store)
            // Another shard tells, so that the last record is not the one that was noted.
            let others = point == .noted || point == .told ? try store.win("other-2") : nil
            try come(next, try Store(at: directory("\(next)")), keys[2 * index + 1])
            let changes = try store.allChanges()
            let told = changes.dropFirst(before).filter { $0.key == name.key }.map(\.event.name)
            let happened = point != .begun
            #expect(told.starts(with: happened ? row.events : []), "\(next): \(told)")
            if next != .reap { #expect(told.count == (happened ? row.events.count : 0)) }
            #expect(flaw(in: changes) == nil, "\(next)")
            #expect(try Replay(changes) == Replay(listing: store), "\(next): \(told)")
            // And not again.
            for later in Next.allCases where later != .reap {
                try come(later, store, keys[2 * index + 1])
            }
            let again = try store.allChanges()
            #expect(
                again.filter { $0.key == name.key }.count
                    == changes.filter { $0.key == name.key }.count, "\(next)")
            #expect(flaw(in: again) == nil, "\(next)")
            #expect(try store.counts().isExact, "\(next)")
            withExtendedLifetime(others) {}
        }
    }

    /// A record with a number that was noted, and that another shard has got, is not the killed one's.
    @Test func aNumberThatAnotherHasTakenProvesNothing() throws {
        let store = try Store.telling(at: directory("store"))
        let name = try EntryName("key")
        try leave(.claim, at: .noted, name, store)
        let changes = try #require(try store.session.forWriting().changes)
        let number = try changes.intents().read(name.shard)?.number
        let other = try store.win("other")
        #expect(try store.allChanges().last?.number == number)
        _ = try store.counts()
        #expect(try store.events(of: "key") == ["claimed"])
        withExtendedLifetime(other) {}
    }

    /// The mark of a killed change that is told of by nothing leaves what was told before alone.
    @Test func aChangeThatIsNotToldLeavesNothingToTell() throws {
        let store = try Store.telling(at: directory("store"))
        let name = try EntryName("key")
        _ = try store.claimAndFinalize("key", [])
        let opened = try store.session.forWriting()
        var held: HeldShard? = try HeldShard(opened, name.shard)
        try held?.begin(Intent())
        held = nil
        _ = try store.counts()
        #expect(try store.events(of: "key") == ["claimed", "finalized"])
    }

    /// Of an incomplete claim nobody knows; it is gone before anybody sees it.
    @Test(arguments: [0, 20])
    func anIncompleteClaimIsRemovedUntold(length: Int) throws {
        let store = try Store.telling(at: directory("store"))
        let name = try EntryName("key")
        _ = try store.claimAndFinalize("key", [])
        try store.remove("key")
        try leave(.claim, at: .begun, name, store)
        let pending = try file(of: "key", in: directory("store")) + ".pending"
        write([UInt8](repeating: 0x66, count: length), to: pending)
        #expect(try store.counts().pending == 0)
        #expect(contents(of: pending) == nil)
        #expect(try store.events(of: "key") == ["claimed", "finalized", "removed"])
    }

    /// Half a removal is completed; where that is refused, the claim alone has ended.
    @Test func halfARemovalIsCompleted() throws {
        let store = try Store.telling(at: directory("store"))
        let name = try EntryName("key")
        try Row.remove.prepare(store, name)
        let old = try generation(store, name)
        try leave(.remove, at: .begun, name, store)
        unlink(try file(of: "key", in: directory("store")) + ".pending")
        _ = try store.counts()
        #expect(
            try store.events(of: "key") == [
                "claimed", "finalized", "claimed", "removed", "removed",
            ])
        #expect(try store.bytes(of: "key") == nil && old > 0)
        #expect(try Replay(store.allChanges()) == Replay(listing: store))
    }

    // MARK: Where it cannot be told

    /// Another process is stopped with the journal's lock: the change is made, and told before the next.
    @Test func aChangeThatCannotBeToldYetIsToldFirst() throws {
        let untold = Counter()
        let store = try Store.telling(at: directory("store")) {
            $0.onUntold = { _ in untold.add(1) }
        }
        let keys = TestHelpers.keys(3, inShard: 0x11)
        // From now on this process knows that there is room.
        _ = try store.claimAndFinalize(keys[0], [])
        let other = try Store(at: directory("store"))
        let changes = try #require(try other.session.forWriting().changes)
        var stuck: HeldJournal? = try HeldJournal(changes.journal)
        let claim = try store.win(keys[1])
        #expect(claim != nil && untold.value == 1)
        // The next in the shard cannot tell of it, and is refused before its first step.
        let error = storeError { _ = try store.win(keys[2]) }
        #expect(error?.code == .timedOut, "\(String(describing: error))")
        #expect(try KeyFiles(file(of: keys[2], in: directory("store"))) == .absent)
        // Reading goes on.
        #expect(try Replay(listing: store).entries[keys[1]]?.pending == claim?.generation)
        #expect(try store.allChanges().count == 2)
        stuck = nil
        let next = try other.win(keys[2])
        #expect(try store.allChanges().map(\.key) == [keys[0], keys[0], keys[1], keys[2]])
        #expect(try flaw(in: store.allChanges()) == nil)
        _ = stuck
        withExtendedLifetime((claim, next)) {}
    }

    /// A change of which there could be nothing told is not made.
    @Test func whereNothingCanBeToldNothingIsChanged() throws {
        let store = try Store.telling(at: directory("store"))
        write("in the way".utf8, to: directory("store/journal"))
        let error = storeError { _ = try store.win("key") }
        #expect(error != nil)
        #expect(try KeyFiles(file(of: "key", in: directory("store"))) == .absent)
        #expect(try store.counts().pending == 0)
        unlink(directory("store/journal"))
        let claim = try store.win("key")
        #expect(try claim != nil && store.events(of: "key") == ["claimed"])
        try claim?.abandon()
    }

    // MARK: Trimming

    /// What a marked shard's intent names stays until it is told.
    @Test func whatAMarkedShardNamesIsNotTrimmed() throws {
        let store = try Store.telling(at: directory("store"))
        let opened = try store.session.forWriting()
        let small = ChangeJournal(
            opened.shards, opened.locks, segmentByteCount: 8192, onDelay: nil)
        let name = try EntryName("key")
        func tell(_ count: Int) throws {
            for index in 0..<count {
                var held = try HeldShard(opened.shards, 3, telling: small)
                let generation = try held.nextGeneration()
                let filler = try EntryName(Store.Key("filler-\(index)"))
                try held.begin(
                    generation: generation, .publish(.put, filler, generation))
                held.commit()
            }
        }
        try tell(200)
        let kept = try #require(try JournalSurvey(of: small.journal))
        #expect(kept.parts.count > 2 && kept.first == 1)
        try leave(.claim, at: .told, name, store)
        let number = try #require(try small.intents().read(name.shard)?.number)
        try tell(200)
        // As an appender does that cannot take another shard's mutex.
        var end: HeldJournal? = try HeldJournal(small.journal)
        try small.trim(&end!, to: ChangeLimits(bytes: 0))
        end = nil
        let first = try #require(try JournalSurvey(of: small.journal)).first
        #expect(first > 1 && first <= number)
        // Told first, it may go.
        try small.trim(to: ChangeLimits(bytes: 0))
        let survey = try #require(try JournalSurvey(of: small.journal))
        #expect(survey.first > number && survey.parts.count == 1)
        #expect(storeError { _ = try store.allChanges() }?.code == .trimmed)
        _ = try store.counts()
        let changes = try store.allChanges(from: survey.first)
        #expect(flaw(in: changes, from: survey.first) == nil)
        #expect(!changes.contains { $0.key == "key" })
    }
}

extension KilledChangeTests.Row {
    static let all = [claim, takeOver, finalize, finalizeAnew, abandon, remove, removeValue, lease]

    private static func directory(_ store: Store, _ name: EntryName) throws -> Directory {
        try #require(try store.session.forWriting().shardDirectory(name.shard, making: true))
    }

    private static func section(_ name: EntryName, _ generation: Store.Generation) -> [UInt8] {
        let place = (try? Place.current()) ?? nil
        return ClaimSection(
            name: Array(name.encoded), generation: generation, holder: .nobody, processID: 0,
            command: [], place: place ?? Place(boot: .none, processNamespace: 0, timeNamespace: 0),
            since: .now, deadline: nil
        ).text
    }

    private static func write(
        _ name: EntryName, _ store: Store, _ generation: Store.Generation
    ) throws {
        let path = try store.session.forWriting().file(name.pending, in: name.shard)
        TestSupport.write(section(name, generation), to: path)
    }

    static let claim = Self(
        testDescription: "claim", prepare: { _, _ in },
        intent: { _, name in .claim(name, UInt64(WallClock.microseconds)) },
        change: { store, name, intent in
            _ = try directory(store, name)
            try write(name, store, intent.generation)
        }, events: ["claimed"])

    static let takeOver = Self(
        testDescription: "take over",
        prepare: { store, name in
            _ = try store.session.claim(
                name.key, for: .nobody, maxAge: nil, staleAfter: .microseconds(1))
        },
        intent: { _, name in .takeOver(name, UInt64(WallClock.microseconds), from: 1) },
        change: { store, name, intent in try write(name, store, intent.generation) },
        events: ["taken-over"])

    private static func prepareClaim(_ store: Store, _ name: EntryName) throws {
        _ = try store.session.claim(
            name.key, for: .nobody, maxAge: nil, staleAfter: .seconds(3600))
    }

    private static func pending(_ store: Store, _ name: EntryName) throws -> Store.Generation {
        try #require(try Replay(listing: store).entries[name.key]?.pending)
    }

    /// As a large value is published: beside the claim, which goes next.
    private static func publish(_ store: Store, _ name: EntryName, _ intent: Intent) throws {
        let claim = section(name, intent.generation)
        let head = ValueSection(finalized: WallClock.microseconds, payloadLength: 0)
            .head(behind: claim, payload: Checksum())
        let path = try store.session.forWriting().file(name.ready, in: name.shard)
        TestSupport.write(claim + head, to: path)
    }

    static let finalize = Self(
        testDescription: "finalize", prepare: prepareClaim,
        intent: { store, name in .publish(.finalized, name, try pending(store, name)) },
        change: publish, events: ["finalized"])

    static let finalizeAnew = Self(
        testDescription: "finalize anew",
        prepare: { store, name in
            _ = try store.claimAndFinalize(name.key, "old".utf8)
            _ = try store.session.claim(
                name.key, for: .nobody, maxAge: .zero, staleAfter: .seconds(3600))
        },
        intent: finalize.intent, change: publish, events: ["finalized"])

    static let abandon = Self(
        testDescription: "abandon", prepare: prepareClaim,
        intent: { store, name in .endClaim(.abandoned, name, try pending(store, name)) },
        change: { store, name, _ in
            try directory(store, name).unlink(name.pending)
        }, events: ["abandoned"])

    static let remove = Self(
        testDescription: "remove both", prepare: finalizeAnew.prepare,
        intent: { store, name in
            let entry = try #require(try Replay(listing: store).entries[name.key])
            return .removal(
                .removed, name, claim: entry.pending, value: entry.ready, hasPending: true,
                hasReady: true)
        },
        change: { store, name, _ in
            try directory(store, name).unlink(name.pending)
            try directory(store, name).unlink(name.ready)
        }, events: ["removed", "removed"])

    static let removeValue = Self(
        testDescription: "remove a value",
        prepare: { store, name in _ = try store.claimAndFinalize(name.key, []) },
        intent: { store, name in
            let entry = try #require(try Replay(listing: store).entries[name.key])
            return .removal(
                .reaped, name, claim: nil, value: entry.ready, hasPending: false, hasReady: true)
        },
        change: { store, name, _ in try directory(store, name).unlink(name.ready) },
        events: ["reaped"])

    static let lease = Self(
        testDescription: "lease",
        prepare: { store, name in
            _ = try store.lease(name.key, .seconds(3600))
        },
        intent: { store, name in
            let opened = try store.session.forWriting()
            guard let file = try opened.leaseFile(name, making: true) else {
                throw Unexpected("no file")
            }
            let generation = UInt64(WallClock.microseconds)
            var intent = Intent.lease(
                name, slot: 0, sequence: try file.nextSequence(of: 0),
                [ToldEvent(event: .leased, generation: generation)])
            intent.generation = generation
            return intent
        },
        change: { store, name, intent in
            let opened = try store.session.forWriting()
            guard let file = try opened.leaseFile(name, making: true) else {
                throw Unexpected("no file")
            }
            let cell = LeaseCell(
                generation: intent.generation,
                LeaseRequest(timeToLive: .seconds(3600), processID: 1, command: []),
                at: try opened.place(), since: .now)
            try file.write(cell, in: 0, durably: false)
        }, events: ["leased"])
}
