import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What a lease promises to one program, and what it refuses to one that comes too late.
@Suite(.ownThreads) struct LeaseTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    @Test func oneHasItUntilItIsReleased() throws {
        let (store, other) = (try makeStore(), try makeStore())
        let lease = KeptLease(
            try store.acquireLease("key", timeToLive: .seconds(3600)))
        #expect(try other.tryLease("key") == nil && lease.slot == nil)
        #expect(lease.timeLeft > .seconds(3599) && lease.timeLeft <= .seconds(3600))
        #expect(try other.isCurrent(lease.generation, ofLease: "key"))
        #expect(try !other.isCurrent(lease.generation + 1, ofLease: "key"))
        #expect(try other.holders(of: "key").map(\.processID) == [getpid()])
        try lease.release()
        #expect(try !other.isCurrent(lease.generation, ofLease: "key"))
        let next = try #require(try other.tryLease("key"))
        #expect(next.generation > lease.generation)
        // Leases, locks and entries share no names.
        #expect(try store.tryLock(["key"]) != nil)
        #expect(try store.claimAndFinalize("key", []).isWon)
        #expect(try store.counts().ready == 1 && store.counts().pending == 0)
    }

    @Test func droppingItReleasesIt() throws {
        let store = try makeStore()
        _ = try store.acquireLease("key", timeToLive: .seconds(3600))
        #expect(try store.tryLease("key") != nil)
    }

    @Test func itEndsWithItsTime() throws {
        let (store, other) = (try makeStore(), try makeStore())
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .milliseconds(30)))
        let start = BootTime.now
        let next = KeptLease(
            try other.acquireLease("key", timeToLive: .seconds(3600), wait: .upTo(.seconds(30))))
        #expect(lease.timeLeft == .zero && next.generation > lease.generation)
        #expect(start.milliseconds() < 5000)
    }

    /// The record that was changed last stays open, and is looked at by its name all the same.
    @Test func aRecordThatHasLostItsNameIsNotRenewed() throws {
        let store = try makeStore()
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
        try lease.renew()
        let record = try store.session.forWriting().leasePath(EntryName("key"))
        #expect(unlink(record) == 0)
        #expect(throws: StoreError.self) { try lease.renew() }
        // Another's, under the same name.
        let next = try #require(try makeStore().tryLease("key"))
        #expect(throws: StoreError.self) { try lease.renew() }
        #expect(try store.tryLease("key") == nil)
        #expect(try store.isCurrent(next.generation, ofLease: "key"))
        try next.renew()
    }

    /// What others write to the record is seen by who has it open.
    @Test func anotherLeaseInTheRecordThatIsOpenIsSeen() throws {
        let (store, other) = (try makeStore(), try makeStore())
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
        try lease.renew()
        try lease.release()
        let next = try #require(try other.tryLease("key"))
        #expect(try store.tryLease("key") == nil)
        try next.release()
        let again = try #require(try store.tryLease("key"))
        #expect(again.generation > next.generation)
    }

    /// Renewed in time it lasts; renewed after its time, too, unless somebody else has it.
    @Test func renewingBeginsItsTimeAnew() throws {
        let (store, other) = (try makeStore(), try makeStore())
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .milliseconds(5)))
        #expect(waitUntil { lease.timeLeft == .zero })
        #expect(try !other.isCurrent(lease.generation, ofLease: "key"))
        try lease.renew()
        #expect(lease.timeLeft > .zero)
        #expect(waitUntil { lease.timeLeft == .zero })
        let next = KeptLease(try other.acquireLease("key", timeToLive: .seconds(3600)))
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        #expect(lease.timeLeft == .zero)
        let error = storeError { try lease.release() }
        #expect(error?.code == .leaseLost && error?.holder?.processID == getpid())
        #expect(try other.isCurrent(next.generation, ofLease: "key"), "nothing was changed")
        try lease.release()
    }

    /// A thousand holders that come too late: their renewing, releasing and checking all fail.
    @Test func whoComesTooLateIsRefused() throws {
        let (store, rival) = (try makeStore(), try makeStore())
        var resource = Resource()
        var refused = 0
        var generations: [Store.Generation] = []
        for _ in 0..<1000 {
            let late = KeptLease(try store.acquireLease("key", timeToLive: .microseconds(1)))
            let next = KeptLease(try rival.acquireLease("key", timeToLive: .seconds(3600)))
            let isWritten = resource.write(next.generation)
            #expect(isWritten)
            let isRefused =
                storeError { try late.renew() }?.code == .leaseLost
                && storeError { try late.release() }?.code == .leaseLost
            let isCurrent = try store.isCurrent(late.generation, ofLease: "key")
            if isRefused, !isCurrent, !resource.write(late.generation) { refused += 1 }
            generations += [late.generation, next.generation]
            try next.release()
        }
        #expect(refused == 1000)
        #expect(zip(generations, generations.dropFirst()).allSatisfy { $0 < $1 })
    }

    @Test func slotsAreGivenOutFromTheLowest() throws {
        let store = try makeStore()
        let leases = try (0..<3).map { _ in try #require(try store.tryLease("key", slots: 3)) }
        #expect(leases.map(\.slot) == [0, 1, 2])
        #expect(try store.tryLease("key", slots: 3) == nil)
        #expect(Set(leases.map(\.generation)).count == 3)
        try leases[1].release()
        #expect(try store.tryLease("key", slots: 3)?.slot == 1)
        for bad in [0, -1, 4097] {
            #expect(storeError { _ = try store.tryLease("key", slots: bad) }?.code == .invalidKey)
        }
    }

    @Test func whoWaitsIsWokenByTheRelease() throws {
        let (store, other) = (try makeStore(), try makeStore())
        var delays: [Double] = []
        for _ in 0..<20 {
            let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
            let waiter = WaitingThread<Store.Generation> { look in
                let outcome = try other.session.acquireLease(
                    "key", other.request(.seconds(60), 1), waiting: .seconds(30)
                ) { _, _ in look() }
                guard case .granted(let grant) = outcome else { return 0 }
                try other.session.releaseLease("key", grant.generation)
                return grant.generation
            }
            #expect(waitUntil { waiter.count >= 1 })
            let start = BootTime.now
            try lease.release()
            #expect(try waiter.result() > lease.generation)
            delays.append(start.milliseconds(to: waiter.ended))
        }
        print("woken by a release after \(median(delays)) ms")
        #expect(median(delays) < 40)
    }

    @Test func aWaitEndsInTime() throws {
        let (store, other) = (try makeStore(), try makeStore())
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
        let start = BootTime.now
        let error = storeError {
            _ = try other.acquireLease(
                "key", timeToLive: .seconds(1), wait: .upTo(.milliseconds(50)))
        }
        #expect(error?.code == .timedOut && error?.holder?.processID == getpid())
        #expect(start.milliseconds() >= 50)
        try lease.release()
    }

    /// Removed and made anew under the one who has it.
    @Test func aRemovedStoreHasNoLeases() throws {
        let store = try makeStore()
        let lease = KeptLease(try store.acquireLease("key", timeToLive: .seconds(3600)))
        _ = run("rm", ["-r", path])
        #expect(try !store.isCurrent(lease.generation, ofLease: "key"))
        #expect(storeError { try lease.renew() }?.code == .leaseLost)
        #expect(try store.tryLease("key") != nil)
    }
}

/// What a lease protects, and which refuses those who come too late.
private struct Resource {
    private var highest: Store.Generation = 0

    /// Writes something for the holder of a generation; false where a later one has written.
    mutating func write(_ generation: Store.Generation) -> Bool {
        guard generation >= highest else { return false }
        highest = generation
        return true
    }
}
