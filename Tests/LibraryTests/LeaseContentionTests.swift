import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Many that want one lease, some of them killed or stopped; and clocks that are wrong.
@Suite(.ownThreads) struct LeaseContentionTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    // MARK: Clocks

    @Test func anotherBootFreesIt() throws {
        let store = try Store(at: path)
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
        let opened = try store.session.forWriting()
        let name = try EntryName("key")
        guard let file = try opened.leaseFile(name, making: false) else {
            throw Unexpected("no lease")
        }
        var cell = try #require(file.slot(0).cell)
        cell.place = Place(
            boot: BootID(high: 1, low: 2), processNamespace: cell.place.processNamespace,
            timeNamespace: cell.place.timeNamespace)
        try file.write(cell, in: 0, durably: false)
        #expect(try !store.isCurrent(lease.generation, ofLease: "key"))
        let next = try #require(try store.tryLease("key"))
        #expect(next.generation > lease.generation)
    }

    // MARK: Cells

    /// A write that the power cut short leaves the other cell, and says nothing in the same boot.
    @Test func aHalfWrittenCellLeavesTheOther() throws {
        let store = try Store(at: path)
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
        try lease.renew()
        let opened = try store.session.forWriting()
        let path = opened.leasePath(try EntryName("key"))
        let whole = try #require(contents(of: path))
        #expect(whole.count == 1024)
        for length in [0, 1, 100, 250] {
            var cut = whole
            for index in 512 + length..<1024 { cut[index] = UInt8(ascii: "?") }
            write(cut, to: path)
            // In the boot that wrote both it is nobody's doing: who has it cannot be told.
            #expect(storeError { _ = try store.tryLease("key") }?.code == .inputOutput)
            #expect(storeError { try lease.renew() }?.code == .leaseLost)
        }
        write(whole, to: path)
        try lease.renew()
        try lease.release()
    }

    /// The first cell has no other beside it.
    ///
    /// Torn, it is of an earlier boot where nobody has changed the shard
    /// in this one, and blanked; found later it is nobody's doing.
    @Test(arguments: [0, 1, 100, 250])
    func aTornFirstCellIsNobodysAfterARestart(length: Int) throws {
        let store = try Store(at: path)
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
        let slots = try #require(try store.lease("slots", .seconds(3600), slots: 3))
        let opened = try store.session.forWriting()
        let paths = (
            opened.leasePath(try EntryName("key")), opened.leasePath(try EntryName("slots"))
        )
        let whole = try #require(contents(of: paths.0))
        let torn = whole[..<length] + [UInt8](repeating: 1, count: 512 - length)
        write(torn, to: paths.0)
        // Of the slots one is torn, and the other whole.
        write(torn + [UInt8](repeating: 0, count: 512) + whole, to: paths.1)
        #expect(storeError { _ = try store.tryLease("key") }?.code == .inputOutput)
        #expect(contents(of: paths.0) == Array(torn))
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
    }

    @Test func cellsAreReadAsTheyAreWritten() throws {
        let request = LeaseRequest(
            timeToLive: .seconds(5),
            owner: ProcessIdentity(id: .max, descriptorInode: .max, startTime: .max),
            processID: .max, command: Array("a name that is cut, and €".utf8))
        let place = Place(
            boot: BootID(high: .max, low: .max), processNamespace: .max, timeNamespace: .max)
        let since = LeaseTime(Stamp(wall: .max - 6_000_000, boot: .max - 6_000_000))
        var cell = LeaseCell(
            generation: Limits.generation, request, at: place, since: since)
        cell.sequence = 1 << 62 - 1
        cell.isReleased = true
        let bytes = cell.bytes
        #expect(bytes.count == 512)
        #expect(bytes.withUnsafeBytes { LeaseCell($0) } == cell)
        for index in bytes.indices.dropLast(200) {
            var broken = bytes
            broken[index] ^= 1
            #expect(broken.withUnsafeBytes { LeaseCell($0) } != cell)
        }
    }
}
