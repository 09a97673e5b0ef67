import SystemCalls
import TestSupport

@testable import FlockCache

/// A lease in a box, so that it can be put into variables and closures.
final class KeptLease: @unchecked Sendable {
    // Used by one thread at a time.
    private var lease: Lease?
    let generation: Store.Generation
    let slot: Int?

    init(_ lease: consuming Lease) {
        generation = lease.generation
        slot = lease.slot
        self.lease = consume lease
    }

    var timeLeft: Duration { lease?.timeLeft ?? .zero }
    func drop() { lease = nil }
    func renew() throws(StoreError) { try lease?.renew() }
    func release() throws(StoreError) {
        if let lease = lease.take() { try lease.release() }
    }
}

extension Store {
    /// A lease of a minute in a box, if it is free.
    func tryLease(_ key: Key, slots: Int = 1) throws -> KeptLease? {
        guard let lease = try acquireLeaseIfAvailable(key, timeToLive: .seconds(3600), slots: slots)
        else { return nil }
        return KeptLease(lease)
    }

    /// Acquires a lease and keeps it; nil if it is held.
    func lease(_ key: Key, _ timeToLive: Duration, slots: Int = 1) throws -> KeptLease? {
        guard let lease = try acquireLeaseIfAvailable(key, timeToLive: timeToLive, slots: slots)
        else { return nil }
        return KeptLease(lease)
    }

    /// Acquires a lease on a thread of its own, waiting.
    func leaseInThread(
        _ key: Key, _ timeToLive: Duration, wait: Duration? = .seconds(30)
    ) -> WaitingThread<KeptLease?> {
        WaitingThread { look in
            let outcome = try self.session.acquireLease(
                key, self.request(timeToLive, 1), waiting: wait
            ) { _, _ in look() }
            guard case .granted(let grant) = outcome else { return nil }
            return KeptLease(
                Lease(self.session, key, grant, timeToLive: timeToLive, hasSlots: false))
        }
    }
}

/// The cell of a lease's first slot that counts.
func leaseCell(of key: Store.Key, in store: String) throws -> LeaseCell {
    let opened = try Store(at: store).session.forWriting()
    guard let file = try opened.leaseFile(try EntryName(key), making: false),
        let cell = try file.slot(0).cell
    else { throw Unexpected("no whole cell of \(key)") }
    return cell
}

/// Replaces what a lease says of its first slot.
func replaceLease(
    of key: Store.Key, in store: String, _ change: (inout LeaseCell) -> Void
) throws {
    let opened = try Store(at: store).session.forWriting()
    guard let file = try opened.leaseFile(try EntryName(key), making: false),
        var cell = try file.slot(0).cell
    else { throw Unexpected("no whole cell of \(key)") }
    change(&cell)
    try file.write(cell, in: 0, durably: false)
}

/// Waits until a moment has come; the only thing that a test of a time waits for.
func sleep(until moment: BootTime) {
    while BootTime.now < moment {
        SystemCalls.sleep(nanoseconds: max(1, moment.nanoseconds - BootTime.now.nanoseconds))
    }
}

/// Takes slots up to a number in a lease's file itself, as the first one is taken.
func fillLease(
    of key: Store.Key, in store: String, slots: Int,
    _ change: (Int, inout LeaseCell) -> Void = { _, _ in }
) throws {
    let cell = try leaseCell(of: key, in: store)
    var bytes: [UInt8] = []
    for index in 0..<slots {
        var other = cell
        other.generation = LeaseSlot.generation(notBelow: cell.generation, in: index)
        change(index, &other)
        bytes += other.bytes + [UInt8](repeating: 0, count: LeaseCell.byteCount)
    }
    let opened = try Store(at: store).session.forWriting()
    write(bytes, to: opened.leasePath(try EntryName(key)))
}
