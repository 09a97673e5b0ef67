import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Leases with so many slots that not each is looked at.
@Suite(.ownThreads) struct LeaseSlotTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private let key: Store.Key = "many"

    private func opened() throws -> OpenStore { try Store(at: path).session.forWriting() }
    private func file() throws -> String { try opened().leasePath(try EntryName(key)) }

    private func takenFile() throws -> String {
        let name = try EntryName(key)
        return try opened().leaseDirectoryPath(name.shard) + "/"
            + String(decoding: Layout.takenTimes(of: name).bytes, as: UTF8.self)
    }

    private func acquire(
        _ store: Store, _ timeToLive: Duration = .seconds(3600), slots: Int,
        owner: ProcessIdentity? = nil, waiting: Duration = .zero
    ) throws -> LeaseGrant? {
        let request = LeaseRequest(
            timeToLive: timeToLive, owner: owner, slots: slots, processID: getpid(), command: [])
        let outcome = try store.session.acquireLease(key, request, waiting: waiting) { _, _ in }
        guard case .granted(let grant) = outcome else { return nil }
        return grant
    }

    /// A store in which so many slots are taken, for an hour but where the closure says otherwise, and in which somebody
    /// has found that.
    private func fill(
        _ count: Int, _ change: (Int, inout LeaseCell) -> Void = { _, _ in }
    ) throws -> Store {
        let store = try Store(at: path)
        #expect(try acquire(store, slots: count)?.slot == 0)
        try fillLease(of: key, in: path, slots: count, change)
        #expect(try acquire(store, slots: count) == nil)
        #expect(contents(of: try takenFile())?.count == TakenTimes.byteCount)
        return store
    }

    private func cell(_ index: Int) throws -> LeaseCell? {
        try opened().leaseFile(try EntryName(key), making: false)?.slot(index).cell
    }

    /// From now on for so long.
    private func deadline(_ duration: Duration) -> LeaseTime {
        LeaseTime.now.advanced(by: duration)
    }

    @Test func aSlotThatIsReleasedIsTheNextToBeHad() throws {
        let (store, other) = (try fill(4096), try Store(at: path))
        for index in [4095, 0, 70, 63, 64, 65, 1] {
            let former = try #require(try cell(index)).generation
            try other.session.releaseLease(key, former)
            let next = try #require(try acquire(store, slots: 4096))
            #expect(next.slot == index && next.generation > former)
            #expect(try acquire(store, slots: 4096) == nil)
            #expect(try other.isCurrent(next.generation, ofLease: key))
            #expect(try !other.isCurrent(former, ofLease: key))
            _ = try store.session.renewLease(key, next.generation)
            #expect(
                storeError { _ = try store.session.renewLease(key, former) }?.code == .leaseLost)
        }
        try other.session.releaseLease(key, try #require(try cell(4000)).generation)
        try other.session.releaseLease(key, try #require(try cell(3000)).generation)
        #expect(try acquire(store, slots: 4096)?.slot == 3000)
        #expect(try acquire(store, slots: 4096)?.slot == 4000)
    }

    @Test func aSlotIsHadAsSoonAsItsTimeIsOver() throws {
        let ends = [150: deadline(.seconds(4)), 199: deadline(.seconds(3))]
        let store = try fill(200) { index, cell in cell.deadline = ends[index] ?? cell.deadline }
        for index in [199, 150] {
            let grant = try #require(try acquire(store, slots: 200, waiting: .seconds(60)))
            #expect(grant.slot == index)
            #expect(try #require(ends[index]).timeLeft(ofThisBoot: true) <= 0)
        }
        #expect(try acquire(store, slots: 200) == nil)
    }

    @Test func aSlotThatWasRenewedIsNotHad() throws {
        let end = deadline(.seconds(3))
        let store = try fill(200) { index, cell in
            if index == 150 { cell.deadline = end }
        }
        let kept = try #require(try cell(150))
        _ = try store.session.renewLease(key, kept.generation)
        #expect(waitUntil { end.timeLeft(ofThisBoot: true) < -1000 })
        #expect(try acquire(store, slots: 200) == nil)
        #expect(try store.isCurrent(kept.generation, ofLease: key))
    }

    /// It may end at any time.
    @Test func aSlotOfAProcessIsHadWhenThatEnds() throws {
        let owner = Child("sleep", ["1000"])
        let identity = try #require(try ProcessIdentity(of: owner.id))
        let store = try fill(200)
        for index in [180, 20] {
            try store.session.releaseLease(key, try #require(try cell(index)).generation)
        }
        #expect(try acquire(store, slots: 200, owner: identity)?.slot == 20)
        #expect(try acquire(store, slots: 200)?.slot == 180)
        #expect(try acquire(store, slots: 200) == nil)
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(try acquire(store, slots: 200)?.slot == 20)
    }

    @Test func aSlotThatIsEndedByForceIsHad() throws {
        let store = try fill(200)
        for index in [7, 177] {
            guard case .ended(_?) = try store.session.endLease(key, slot: index) else {
                throw Unexpected("not ended")
            }
            #expect(try acquire(store, slots: 200)?.slot == index)
        }
    }

    /// What a release that was killed half-way leaves: the slot is looked at, and found to be taken.
    @Test func aSlotOfWhichNothingIsKnownIsLookedAt() throws {
        let store = try fill(200)
        let taken = try takenFile()
        let whole = try #require(contents(of: taken))
        for index in [0, 150] { overwrite(taken, at: TakenTimes.offset(of: index), with: [0, 0]) }
        #expect(contents(of: taken) != whole)
        #expect(try acquire(store, slots: 200) == nil)
        #expect(contents(of: taken) == whole)
    }

    enum Nonsense: CaseIterable {
        case zeros, pattern, ones, short, long, directory, absent, header
    }

    /// It keeps no slot from being had, and lets none be had that is taken.
    @Test(arguments: Nonsense.allCases) func nonsenseChangesNothing(_ nonsense: Nonsense) throws {
        let store = try fill(200)
        let taken = try takenFile()
        let whole = try #require(contents(of: taken))
        let header = Array(whole.prefix(TakenTimes.headerCount))
        let count = whole.count - header.count
        #expect(unlink(taken) == 0)
        switch nonsense {
        case .zeros: write(header + [UInt8](repeating: 0, count: count), to: taken)
        case .pattern:
            write(header + (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167) }, to: taken)
        case .ones: write(header + [UInt8](repeating: 255, count: count), to: taken)
        case .short: write(Array(whole.dropLast(9)), to: taken)
        case .long: write(whole + [1], to: taken)
        case .directory: mkdir(taken, 0o700)
        case .absent: break
        case .header: write([0] + whole.dropFirst(), to: taken)
        }
        #expect(try acquire(store, slots: 200) == nil)
        for index in [199, 3] {
            // Also by who has not looked.
            let other = try Store(at: path)
            try other.session.releaseLease(key, try #require(try cell(index)).generation)
            #expect(try acquire(store, slots: 200)?.slot == index)
            #expect(try acquire(store, slots: 200) == nil)
        }
    }

    /// What is said of a lease's file that was removed is not believed of the next, which may have its inode.
    @Test func aRecordThatHandsHaveRemovedIsForgotten() throws {
        let store = try fill(200)
        #expect(unlink(try file()) == 0)
        #expect(try acquire(store, slots: 200)?.slot == 0)
        #expect(access(try takenFile(), F_OK) != 0)
    }

    @Test func reapingTakesItAway() throws {
        let store = try fill(66)
        for index in 0..<66 {
            try store.session.releaseLease(key, try #require(try cell(index)).generation)
        }
        #expect(try store.reap().isEmpty)
        #expect(names(in: try opened().leaseDirectoryPath(EntryName(key).shard)) == [".highest"])
        #expect(try acquire(store, slots: 66)?.slot == 0)
    }

    /// Whatever happens to the slots, who asks gets the lowest that looking at each one finds free.
    @Test func whoAsksGetsTheLowestFreeSlot() throws {
        var random = Seeded("LeaseSlotTests")
        let count = 100
        let stores = [try fill(count), try Store(at: path), try Store(at: path)]
        var hits = 0
        for _ in 0..<600 {
            let store = stores[Int.random(in: 0..<3, using: &random)]
            let index = Int.random(in: 0..<count, using: &random)
            let held = try #require(try cell(index))
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1: _ = storeError { try store.session.releaseLease(key, held.generation) }
            case 2: _ = storeError { try store.session.renewLease(key, held.generation) }
            case 3: _ = try store.session.endLease(key, slot: index)
            default:
                let before = try lowestFree(count)
                let isShort = Bool.random(using: &random)
                let grant = try acquire(
                    store, isShort ? .milliseconds(5) : .seconds(3600), slots: count)
                // Time may have ended a lower one meanwhile, but not made one taken.
                let slot = grant?.slot ?? count
                #expect(slot <= before)
                if slot == before { hits += 1 }
            }
        }
        #expect(hits > 100)
    }

    /// The lowest slot that is free, by looking at each.
    private func lowestFree(_ count: Int) throws -> Int {
        let store = try opened()
        let file = try #require(try store.leaseFile(try EntryName(key), making: false))
        for index in 0..<count {
            guard let cell = try file.slot(index).cell else { return index }
            if case .free = try store.standing(of: cell) { return index }
        }
        return count
    }
}
