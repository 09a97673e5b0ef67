internal import SystemCalls

/// When a lease is renewed.
package struct LeaseRenewal {
    private let interval: Duration
    /// When to renew it next, by the boot clock.
    private(set) var next: BootTime
    /// When to look next whether it was ended by force.
    private var nextCheck: BootTime

    /// An administrator who ends a lease gives it to another at once.
    private static let checkInterval = Duration.seconds(1)

    /// How long until then; negative when it is due.
    package var timeLeft: Duration { .nanoseconds(next.nanoseconds - BootTime.now.nanoseconds) }

    /// At a third of the time to live: two renewals may fail before it is over.
    package init(_ timeToLive: Duration) {
        interval = max(.milliseconds(1), timeToLive / 3)
        next = BootTime.now.advanced(by: interval)
        nextCheck = Self.nextCheck
    }

    /// At the same moments for all leases of the machine: who keeps many wakes once for all of them.
    private static var nextCheck: BootTime {
        let interval = checkInterval.clampedNanoseconds
        return BootTime(nanoseconds: (BootTime.now.nanoseconds / interval + 1) * interval)
    }

    /// - Parameter time: how long the attempt took; the lease lasts from its beginning.
    package mutating func succeeded(after time: Duration) {
        next = BootTime.now.advanced(by: interval - time)
        wasChecked()
    }

    /// How long until it is looked at; negative when it is due.
    package var timeToCheck: Duration {
        .nanoseconds(nextCheck.nanoseconds - BootTime.now.nanoseconds)
    }

    package mutating func wasChecked() {
        nextCheck = Self.nextCheck
    }

    /// What the system refused it may permit in a moment.
    package mutating func failed() {
        next = BootTime.now.advanced(by: min(.seconds(1), interval / 4))
    }

    /// Another process is changing the shard: that takes microseconds, unless it is stopped.
    package mutating func wasBusy() {
        next = BootTime.now.advanced(by: min(.milliseconds(5), interval / 4))
    }
}
