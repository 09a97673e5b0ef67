import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Records of leases with a part that nobody has written.
@Suite(.ownThreads) struct LeaseDamageTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    private func file(of key: Store.Key) throws -> String {
        try makeStore().session.forWriting().leasePath(try EntryName(key))
    }

    /// A write that the power cut short leaves the other cell.
    ///
    /// In the boot that wrote both it is nobody's doing: who has the lease cannot be told, and for one time to live it
    /// is taken.
    @Test(arguments: [0, 1, 100, 250])
    func aHalfWrittenCellIsTakenForItsTimeToLive(length: Int) throws {
        let store = try makeStore()
        let lease = try #require(try store.lease("key", .milliseconds(700)))
        try lease.renew()
        let file = try file(of: "key")
        var cut = try #require(contents(of: file))
        #expect(cut.count == 1024)
        for index in 512 + length..<1024 { cut[index] = UInt8(ascii: "?") }
        write(cut, to: file)
        #expect(try store.holders(of: "key").isEmpty)
        #expect(try store.session.holdings(of: "key").map(\.kind) == [.lease(slot: 0)])
        let start = BootTime.now
        let error = storeError { _ = try store.tryLease("key") }
        #expect(error?.isDamage == true && error?.code == .inputOutput)
        let kept = names(in: path + "/damaged")
        #expect(kept.count == 1 && error?.description.contains(kept.first ?? "-") == true)
        #expect(contents(of: path + "/damaged/" + (kept.first ?? "-")) == cut)
        // Once: from now on it is held, by nobody.
        #expect(try store.tryLease("key") == nil)
        #expect(try store.holders(of: "key").map(\.processID) == [nil])
        // Whoever had it has lost it.
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        let next = KeptLease(
            try store.acquireLease("key", timeToLive: .seconds(3600), wait: .upTo(.seconds(30))))
        #expect(start.milliseconds() >= 699)
        #expect(next.generation > lease.generation)
    }

    /// Without a valid cell it is for the time that is asked for.
    @Test func aSlotWithoutAValidCellIsTakenAsWell() throws {
        let store = try makeStore()
        let lease = try #require(try store.tryLease("key"))
        write([UInt8](repeating: 1, count: 1024), to: try file(of: "key"))
        let error = storeError { _ = try store.lease("key", .milliseconds(100)) }
        #expect(error?.isDamage == true)
        let next = KeptLease(
            try store.acquireLease("key", timeToLive: .seconds(3600), wait: .upTo(.seconds(30))))
        #expect(next.generation > lease.generation)
    }

    /// The others of the lease are as they were, and a free one is granted.
    @Test func oneDamagedSlotIsNotInTheWayOfOthers() throws {
        let damaged = Counter()
        var configuration = Store.Configuration()
        configuration.onDamage = { _, _ in damaged.add(1) }
        let store = try Store(at: path, configuration: configuration)
        let leases = try (0..<3).map { _ in try #require(try store.tryLease("key", slots: 4)) }
        let file = try file(of: "key")
        var bytes = try #require(contents(of: file))
        for index in 1024..<1100 { bytes[index] ^= 1 }
        write(bytes, to: file)
        try leases[0].renew()
        try leases[2].renew()
        #expect(try store.tryLease("key", slots: 4)?.slot == 3)
        #expect(damaged.value == 1)
        #expect(storeError { try leases[1].renew() }?.code == .leaseLost)
        try leases[2].release()
        #expect(try store.tryLease("key", slots: 4)?.slot == 2)
        #expect(damaged.value == 1, "once")
        #expect(try store.session.holdings(of: "key").count == 2)
    }

    /// Nothing of a power cut before this boot is in anybody's way.
    ///
    /// Torn, a slot is of an earlier boot where nobody has changed the shard in this one, and blanked.
    @Test(arguments: [0, 1, 100, 250])
    func aTornFirstCellIsNobodysAfterARestart(length: Int) throws {
        let store = try makeStore()
        let lease = try #require(try store.tryLease("key"))
        let slots = try #require(try store.lease("slots", .seconds(3600), slots: 3))
        let opened = try store.session.forWriting()
        let paths = (try file(of: "key"), try file(of: "slots"))
        let whole = try #require(contents(of: paths.0))
        let torn = whole[..<length] + [UInt8](repeating: 1, count: 512 - length)
        write(torn, to: paths.0)
        // Of the slots one is torn, and the other whole.
        write(torn + [UInt8](repeating: 0, count: 512) + whole, to: paths.1)
        for key in ["key", "slots"] as [Store.Key] {
            var held = try HeldShard(opened, try EntryName(key).shard)
            held.block.boot = BootID(high: 1, low: 2)
            held.commit()
        }
        let next = try #require(try Store(at: path).tryLease("key"))
        #expect(next.generation > lease.generation)
        // The whole slot, of this very boot, is held still, and the two others are free.
        let more = try [0, 1, 2].map { _ in try store.lease("slots", .seconds(3600), slots: 3) }
        #expect(more.map { $0?.slot } == [0, 2, nil] && slots.slot == 0)
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        #expect(names(in: path).contains("damaged") == false)
    }

    /// A cell that a check vouches for and another that none does.
    @Test func aCellIsWholeOrBroken() throws {
        var random = Seeded("LeaseDamageTests")
        let store = try makeStore()
        _ = try store.tryLease("key")
        let bytes = try leaseCell(of: "key", in: path).bytes
        #expect(bytes.withUnsafeBytes { LeaseCell.sequence(of: $0) } == 1)
        for _ in 0..<2000 {
            var broken = bytes
            broken[Int.random(in: 0..<broken.count, using: &random)] ^= UInt8.random(
                in: 1...255, using: &random)
            let whole = broken.withUnsafeBytes { LeaseCell($0) }
            let sequence = broken.withUnsafeBytes { LeaseCell.sequence(of: $0) }
            // In what fills the cell a byte may be wrong without the lines being so.
            #expect(sequence == nil || whole?.sequence == sequence)
        }
    }
}
