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
        var cell = try #require(try file.slot(0).cell)
        cell.place = Place(
            boot: BootID(high: 1, low: 2), processNamespace: cell.place.processNamespace,
            timeNamespace: cell.place.timeNamespace)
        try file.write(cell, in: 0, durably: false)
        #expect(try !store.isCurrent(lease.generation, ofLease: "key"))
        let next = try #require(try store.tryLease("key"))
        #expect(next.generation > lease.generation)
    }

    // MARK: Cells

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
