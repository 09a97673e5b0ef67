internal import Synchronization
internal import SystemCalls

/// A thread that keeps a lease renewed, at a third of its time to live, and tells when it is lost.
///
/// A thread of its own: a task could find all the threads that tasks share busy for longer than that.
final class LeaseKeeper: Sendable {
    private let lease: any RenewableLease
    private let onLoss: @Sendable () -> Void
    private let isOver = Atomic<Bool>(false)
    /// What the thread sleeps on.
    private let bell = SharedMemory(count: 64)

    init(
        _ lease: any RenewableLease, onLoss: @escaping @Sendable () -> Void
    ) throws(StoreError) {
        self.lease = lease
        self.onLoss = onLoss
        do throws(Errno) {
            try startThread { self.keep() }
        } catch {
            throw StoreError(error, "start a thread")
        }
    }

    /// Ends it; nothing is told from then on.
    func stop() {
        isOver.store(true, ordering: .releasing)
        bell.wake(.max, at: 0, bits: .max)
    }

    private func keep() {
        var renewal = LeaseRenewal(lease.timeToLive)
        while true {
            let seen = bell.word(at: 0)
            if isOver.load(ordering: .acquiring) { return }
            bell.wait(at: 0, while: seen, bits: .max, until: renewal.next)
            if isOver.load(ordering: .acquiring) { return }
            guard BootTime.now >= renewal.next else { continue }
            do throws(StoreError) {
                try lease.renew()
                renewal.succeeded()
            } catch {
                if error.code == .leaseLost || lease.timeLeft == .zero { return onLoss() }
                renewal.failed()
            }
        }
    }
}

/// When a lease is renewed.
package struct LeaseRenewal {
    private let interval: Duration
    /// When to renew it next, by the boot clock.
    private(set) var next: BootTime

    /// How long until then; negative when it is due.
    package var timeLeft: Duration { .nanoseconds(next.nanoseconds - BootTime.now.nanoseconds) }

    /// At a third of the time to live: two renewals may fail before it is over.
    package init(_ timeToLive: Duration) {
        interval = max(.milliseconds(1), timeToLive / 3)
        next = BootTime.now.advanced(by: interval)
    }

    package mutating func succeeded() { next = BootTime.now.advanced(by: interval) }

    /// What the system refused it may permit in a moment.
    package mutating func failed() {
        next = BootTime.now.advanced(by: min(.seconds(1), interval / 4))
    }
}
