import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// How a lease is lost, and what a renewal may not do.
@Suite(.ownThreads) struct LeaseLossTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    /// Where its record was replaced, as by another's grant.
    @Test func onceLostItStaysLost() throws {
        let store = try makeStore()
        let lease = try #require(try store.tryLease("key"))
        let generation = lease.generation
        try replaceLease(of: "key", in: path) { $0.generation += 1 }
        #expect(lease.timeLeft > .zero)
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        #expect(lease.timeLeft == .zero)
        try replaceLease(of: "key", in: path) { $0.generation = generation }
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        #expect(lease.timeLeft == .zero)
    }

    /// Neither makes the store again.
    @Test func aRemovedStoreStaysRemoved() throws {
        let store = try makeStore()
        let lease = try #require(try store.tryLease("key"))
        let other = try #require(try store.tryLease("other"))
        let claim = try #require(try store.win("claim", staleAfter: .seconds(3600)))
        _ = run("rm", ["-r", path])
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        #expect(storeError { try claim.renew() }?.code == .claimLost)
        #expect(lease.timeLeft == .zero)
        try other.release()
        try lease.release()
        #expect(access(path, F_OK) != 0)
    }

    @Test func timesBeyondReasonAreRefused() throws {
        let store = try makeStore()
        for time in [
            Duration.zero, .seconds(-1), .nanoseconds(-1), .seconds(101 * 365 * 86400),
            .seconds(Int64.max),
        ] {
            let error = storeError {
                _ = try store.acquireLeaseIfAvailable("key", timeToLive: time)
            }
            #expect(error?.code == .invalidKey, "\(time)")
        }
        #expect(try store.lease("key", .seconds(100 * 365 * 86400)) != nil)
    }

    // MARK: Places

    private static let elsewhere = BootID(high: 1, low: 2)

    /// Written by another boot: true for everybody who asks, from then on.
    @Test func aRenewalIsOfTheRenewersPlace() throws {
        let store = try makeStore()
        let lease = try #require(try store.lease("key", .seconds(3600)))
        let (real, generation) = (try leaseCell(of: "key", in: path), lease.generation)
        try replaceLease(of: "key", in: path) { cell in
            cell.place = Place(boot: Self.elsewhere, processNamespace: 7, timeNamespace: 8)
            cell.deadline = LeaseTime(Stamp(wall: .max, boot: 5))
        }
        #expect(try !store.isCurrent(generation, ofLease: "key"))
        let other = try Store(at: path).session
        #expect(try other.renewLease("key", generation) == .seconds(3600))
        let cell = try leaseCell(of: "key", in: path)
        #expect(cell.place == real.place && cell.processID == 0)
        #expect(try store.isCurrent(generation, ofLease: "key"))
        #expect(try store.tryLease("key") == nil)
        let left = cell.deadline?.timeLeft(ofThisBoot: true) ?? 0
        #expect(left > 3_599_000_000 && left <= 3_600_000_000)
        #expect(abs(cell.since.timeLeft(ofThisBoot: true)) < 60_000_000)
    }

    /// A keeper does not renew what is over: its work ran unprotected.
    @Test func aKeeperLosesWhatIsOver() throws {
        let session = try makeStore().session
        let lease = try #require(try makeStore().lease("key", .milliseconds(5)))
        #expect(waitUntil { lease.timeLeft == .zero })
        let lost = storeError { try session.renewLease("key", lease.generation, onlyHeld: true) }
        #expect(lost?.code == .leaseLost)
        #expect(try session.renewLease("key", lease.generation) == .milliseconds(5))
    }

    /// An owner that cannot be judged from here keeps its lease, which is not made one of this place.
    @Test func aRenewalDoesNotTakeAnOwnerElsewhere() throws {
        let store = try makeStore()
        let owner = Child("sleep", ["1000"])
        let identity = try #require(try ProcessIdentity(of: owner.id))
        let request = LeaseRequest(
            timeToLive: .seconds(60), owner: identity, processID: owner.id, command: [])
        let outcome = try store.session.acquireLease("key", request, waiting: .zero) { _, _ in }
        guard case .granted(let grant) = outcome else { throw Unexpected("busy") }
        // In another PID namespace of this boot: the clock is the same, its number is not.
        try replaceLease(of: "key", in: path) { cell in
            cell.place = Place(
                boot: cell.place.boot, processNamespace: 7, timeNamespace: cell.place.timeNamespace)
        }
        owner.kill(SIGKILL)
        _ = owner.wait()
        _ = try store.session.renewLease("key", grant.generation)
        #expect(try leaseCell(of: "key", in: path).place.processNamespace == 7)
        #expect(try store.tryLease("key") == nil)
        #expect(try store.holders(of: "key").map(\.liveness) == [.unknown])
        // Of another boot it is dead, on a local file system.
        try replaceLease(of: "key", in: path) { cell in
            cell.place = Place(boot: Self.elsewhere, processNamespace: 7, timeNamespace: 8)
        }
        let lost = storeError { try store.session.renewLease("key", grant.generation) }
        #expect(lost?.code == .leaseLost, "\(String(describing: lost))")
    }

    // MARK: Ended by force

    @Test func aLeaseThatIsEndedByForceIsLost() throws {
        let (store, rival) = (try makeStore(), try makeStore())
        let lease = try #require(try store.tryLease("key"))
        guard case .ended(let ended?) = try rival.session.endLease("key", slot: nil) else {
            throw Unexpected("not ended")
        }
        #expect(ended.holder?.processID == getpid() && ended.generation == lease.generation)
        #expect(try !store.isCurrent(lease.generation, ofLease: "key"))
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        #expect(lease.timeLeft == .zero)
        #expect(storeError { try lease.release() }?.code == .leaseLost)
        guard case .ended(nil) = try rival.session.endLease("key", slot: nil) else {
            throw Unexpected("ended twice")
        }
        let next = try #require(try rival.tryLease("key"))
        #expect(next.generation > lease.generation + 1)
    }

    @Test func oneSlotIsEndedByForce() throws {
        let store = try makeStore()
        let leases = try (0..<3).map { _ in try #require(try store.tryLease("key", slots: 3)) }
        guard case .several([0, 1, 2]) = try store.session.endLease("key", slot: nil) else {
            throw Unexpected("one of three was ended")
        }
        guard case .ended(let ended?) = try store.session.endLease("key", slot: 1) else {
            throw Unexpected("not ended")
        }
        #expect(ended.slot == 1 && ended.generation == leases[1].generation)
        try leases[0].renew()
        try leases[2].renew()
        #expect(storeError { try leases[1].renew() }?.code == .leaseLost)
        guard case .ended(nil) = try store.session.endLease("key", slot: 1) else {
            throw Unexpected("ended twice")
        }
    }

    // MARK: Slots

    /// What renewing, checking and releasing cost does not depend on how many slots there are.
    @Test func slotsCostNothingToOthers() throws {
        let store = try makeStore()
        let one = try #require(try store.tryLease("one"))
        let first = try #require(try store.tryLease("many", slots: 4096))
        try fillLease(of: "many", in: path, slots: 4095)
        let last = try #require(try store.tryLease("many", slots: 4096))
        #expect(first.slot == 0 && last.slot == 4095)
        #expect(last.generation % 4096 == 4095)
        var (few, many): ([Double], [Double]) = ([], [])
        for _ in 0..<20 {
            for isOne in [true, false] {
                let start = BootTime.now
                let lease = isOne ? one : last
                try lease.renew()
                #expect(try store.isCurrent(lease.generation, ofLease: isOne ? "one" : "many"))
                if isOne {
                    few.append(start.milliseconds())
                } else {
                    many.append(start.milliseconds())
                }
            }
        }
        print("renewed and checked in \(median(few)) ms, of 4096 slots in \(median(many)) ms")
        #expect(median(many) < 4 * median(few))
        let start = BootTime.now
        #expect(try store.tryLease("many", slots: 4096) == nil)
        print("found 4096 slots taken in \(start.milliseconds()) ms")
    }

    @Test func generationsTellTheirSlot() {
        for least in [0, 1, 4095, 4096, 1_795_246_339_797_328] as [UInt64] {
            for index in [0, 1, 17, 4095] {
                let generation = LeaseSlot.generation(notBelow: least, in: index)
                #expect(generation >= least && generation < least + 4096)
                #expect(LeaseSlot.index(of: generation) == index)
            }
        }
    }
}
