import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Records of leases that nobody has any more are removed, and generations rise all the same.
@Suite(.ownThreads) struct LeaseReapTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    private func file(of key: Store.Key) throws -> String {
        try makeStore().session.forWriting().leasePath(try EntryName(key))
    }

    @Test func whatNobodyHasGoes() throws {
        let store = try makeStore()
        let held = try #require(try store.tryLease("held"))
        try #require(try store.tryLease("released")).release()
        let over = try #require(try store.tryLease("over"))
        try replaceLease(of: "over", in: path) { cell in
            cell.deadline = LeaseTime.now.advanced(by: .seconds(-1))
        }
        let slots = try (0..<2).map { _ in try #require(try store.tryLease("slots", slots: 2)) }
        try slots[0].release()
        let files = try ["held", "released", "over", "slots"].map { try file(of: Store.Key($0)) }
        #expect(try store.reap(dryRun: true).isEmpty)
        #expect(files.allSatisfy { access($0, F_OK) == 0 })
        #expect(try store.reap().isEmpty, "nobody had it: nothing is told")
        #expect(files.map { access($0, F_OK) == 0 } == [true, false, true, true])
        try held.renew()
        try slots[1].renew()
        // Its time is over, and nobody else has got it.
        try over.renew()
        #expect(try store.tryLease("over") == nil)
        try slots[1].release()
        try over.release()
        try store.reap()
        #expect(files.map { access($0, F_OK) == 0 } == [true, false, false, false])
        // Twice is fine, also where the record has gone.
        try store.session.releaseLease("released", 5)
    }

    /// What is over for an hour goes; of an earlier boot, by the wall clock.
    @Test(arguments: [true, false]) func whatIsLongOverGoes(isOfThisBoot: Bool) throws {
        let store = try makeStore()
        let lease = try #require(try store.tryLease("key"))
        let file = try file(of: "key")
        for (seconds, stays) in [(-3500, true), (-3700, false)] {
            try replaceLease(of: "key", in: path) { cell in
                cell.deadline = LeaseTime.now.advanced(by: .seconds(seconds))
                guard !isOfThisBoot else { return }
                cell.place = Place(
                    boot: BootID(high: 1, low: 2), processNamespace: 1, timeNamespace: 1)
            }
            try store.reap()
            #expect((access(file, F_OK) == 0) == stays)
        }
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
    }

    enum Trouble: CaseIterable, Sendable {
        case none, zeroedBlock, otherBoot, copied, noLocksFile
    }

    /// By a clock that was set back by ten years, and whatever became of the shard's block.
    @Test(arguments: Trouble.allCases) func generationsRiseAlthoughTheRecordHasGone(
        _ trouble: Trouble
    ) throws {
        let store = try makeStore()
        var last: Store.Generation = 0
        for _ in 0..<3 {
            let lease = try #require(try store.tryLease("key"))
            last = lease.generation
            try lease.release()
        }
        let shard = try EntryName("key").shard
        let record = try file(of: "key")
        try store.reap()
        #expect(access(record, F_OK) != 0)
        var place = path
        switch trouble {
        case .none: break
        case .zeroedBlock:
            let locks = open(path + "/locks/shards", O_WRONLY)
            let zeros = [UInt8](repeating: 0, count: ShardBlock.byteCount)
            pwrite(locks, zeros, zeros.count, off_t(64 + shard * ShardBlock.byteCount))
            close(locks)
        case .otherBoot:
            var held = try HeldShard(try store.session.forWriting(), shard)
            held.block.boot = BootID(high: 1, low: 2)
            held.commit()
        case .copied:
            place = directory("copy")
            #expect(run("cp", ["-a", path, place]).code == 0)
        case .noLocksFile: #expect(unlink(path + "/locks/shards") == 0)
        }
        let peer = PeerProcess(place, environment: ["FLOCK_CACHE_WALL_CLOCK": "-315360000"])
        let words = peer.ask("lease 60000 0 key").split(separator: " ")
        let next = words.last.flatMap { UInt64($0) } ?? 0
        #expect(next > last, "\(words), after \(last)")
        peer.exit()
    }

    /// The block is lost and the record is there: it is one of several of the shard.
    @Test func aLostBlockIsMadeUpForByTheRecords() throws {
        let store = try makeStore()
        let keys = keys(2, inShard: 0x5a)
        let lease = try #require(try store.tryLease(keys[0]))
        let locks = open(path + "/locks/shards", O_WRONLY)
        let zeros = [UInt8](repeating: 0, count: ShardBlock.byteCount)
        pwrite(locks, zeros, zeros.count, off_t(64 + 0x5a * ShardBlock.byteCount))
        close(locks)
        let peer = PeerProcess(path, environment: ["FLOCK_CACHE_WALL_CLOCK": "-315360000"])
        let words = peer.ask("lease 60000 0 \(keys[1])").split(separator: " ")
        #expect(words.last.flatMap { UInt64($0) } ?? 0 > lease.generation, "\(words)")
        peer.exit()
    }

    // MARK: Owners that cannot be judged

    @Test func anOwnerThatCannotBeJudgedIsAssumedDeadOnRequest() throws {
        let store = try makeStore()
        let owner = Child("sleep", ["1000"])
        let identity = try #require(try ProcessIdentity(of: owner.id))
        let request = LeaseRequest(
            timeToLive: nil, owner: identity, processID: owner.id, command: [])
        let outcome = try store.session.acquireLease("key", request, waiting: .zero) { _, _ in }
        guard case .granted(let grant) = outcome else { throw Unexpected("busy") }
        var limits = Store.ReapLimits()
        limits.assumeDeadAfter = .seconds(60)
        // It can be judged, and lives.
        try replaceLease(of: "key", in: path) { $0.since = $0.since.advanced(by: .seconds(-3600)) }
        #expect(try store.reap(limits).isEmpty)
        try replaceLease(of: "key", in: path) { cell in
            cell.place = Place(
                boot: cell.place.boot, processNamespace: 7, timeNamespace: cell.place.timeNamespace)
        }
        #expect(try store.reap().isEmpty)
        limits.assumeDeadAfter = .seconds(7200)
        #expect(try store.reap(limits).isEmpty)
        limits.assumeDeadAfter = .seconds(60)
        #expect(try store.reap(limits, dryRun: true).map(\.reason) == [.assumedDead])
        #expect(try store.tryLease("key") == nil)
        let reaped = try store.reap(limits)
        #expect(reaped.map(\.reason) == [.assumedDead] && reaped.map(\.key) == ["key"])
        #expect(try !store.session.checkLease("key", grant.generation))
        let lost = storeError { try store.session.releaseLease("key", grant.generation) }
        #expect(lost?.code == .leaseLost)
        #expect(try #require(try store.tryLease("key")).generation > grant.generation)
    }

    // MARK: Who has it

    @Test func whetherTheHolderLivesIsJudged() throws {
        let store = try makeStore()
        let lease = try #require(try store.tryLease("key"))
        func holding() throws -> Holding? { try store.session.holdings(of: "key").first }
        #expect(try holding()?.holder?.liveness == .alive)
        #expect(try holding()?.generation == lease.generation)
        let dead = Child("sleep", ["1000"])
        dead.kill(SIGKILL)
        _ = dead.wait()
        try replaceLease(of: "key", in: path) { $0.processID = dead.id }
        #expect(try holding()?.holder?.liveness == .dead)
        // A process that has begun after the lease was granted has the number by chance.
        try replaceLease(of: "key", in: path) { cell in
            cell.processID = getpid()
            cell.since = LeaseTime(Stamp(wall: cell.since.stamp.wall, boot: 1))
        }
        #expect(try holding()?.holder?.liveness == .dead)
        try replaceLease(of: "key", in: path) { cell in
            cell.place = Place(
                boot: cell.place.boot, processNamespace: 7, timeNamespace: cell.place.timeNamespace)
        }
        #expect(try holding()?.holder?.liveness == .unknown)
    }
}
