import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What a holder takes its lease to last, and what others do.
@Suite(.ownThreads) struct LeaseDeadlineTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// When others take the lease for over, in microseconds of the boot clock here.
    private func end(of key: Store.Key) throws -> Int64 {
        let deadline = try #require(try leaseCell(of: key, in: path).deadline)
        return deadline.stamp.boot + (TimeNamespace.offset ?? 0)
    }

    /// Counted from before anything is written: a holder that is interrupted in the call is not the second one.
    @Test func aHolderTakesItsLeaseToLastNoLongerThanOthersDo() throws {
        let store = try Store(at: path)
        for number in 0..<50 {
            let key = Store.Key("key-\(number)")
            let outcome = try store.session.acquireLease(
                key, store.request(.seconds(60), 1), waiting: .zero
            ) { _, _ in }
            guard case .granted(let grant) = outcome else { throw Unexpected("busy") }
            #expect(grant.deadline.nanoseconds / 1000 <= (try end(of: key)))
        }
    }

    @Test func norAfterARenewal() throws {
        let store = try Store(at: path)
        let lease = try #require(try store.lease("key", .seconds(60)))
        for _ in 0..<50 {
            try lease.renew()
            let before = BootTime.now
            let deadline = before.advanced(by: lease.timeLeft)
            #expect(deadline.nanoseconds / 1000 <= (try end(of: "key")))
        }
    }

    /// Two renewals may fail before the lease is over.
    @Test func aLeaseIsRenewedAtAThirdOfItsTime() {
        var renewal = LeaseRenewal(.seconds(90))
        #expect(renewal.timeLeft <= .seconds(30))
        #expect(renewal.timeLeft > .seconds(29))
        renewal.failed()
        #expect(renewal.timeLeft <= .seconds(1))
        renewal.succeeded(after: .zero)
        #expect(renewal.timeLeft > .seconds(29) && renewal.timeLeft <= .seconds(30))
    }

    /// A record that was put there may have a generation that this shard has not given.
    @Test(arguments: [1, 3]) func aGenerationIsHigherThanThoseInTheRecord(slots: Int) throws {
        let store = try Store(at: path)
        let first = try #require(try store.tryLease("key", slots: slots))
        let ahead = first.generation + 3_600_000_000
        try first.release()
        try replaceLease(of: "key", in: path) { $0.generation = ahead }
        let next = try #require(try store.tryLease("key", slots: slots))
        #expect(next.generation > ahead)
    }
}
