internal import SystemCalls

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

    /// Another process is changing the shard: that takes microseconds, unless it is stopped.
    package mutating func wasBusy() {
        next = BootTime.now.advanced(by: min(.milliseconds(5), interval / 4))
    }
}
