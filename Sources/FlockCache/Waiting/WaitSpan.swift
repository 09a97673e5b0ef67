internal import SystemCalls

/// From when a call began to wait to when it is to end.
struct WaitSpan {
    let start = BootTime.now
    let deadline: BootTime

    /// nil is without end.
    init(_ limit: Duration?) {
        deadline =
            limit.map { [start] in start.advanced(by: max(.zero, $0)) }
            ?? BootTime(nanoseconds: .max)
    }

    var elapsed: Duration { .nanoseconds(BootTime.now.nanoseconds - start.nanoseconds) }
    var isOver: Bool { BootTime.now >= deadline }

    /// How long to wait for somebody else's change meanwhile.
    var patience: Duration {
        let left = Duration.nanoseconds(deadline.nanoseconds - BootTime.now.nanoseconds)
        return min(Limits.patience, max(.seconds(1), left))
    }
}

extension WaitSpan {
    /// After how many nanoseconds a waiter that nothing wakes looks again: so that a death, which nobody
    /// tells of, is noticed within a tenth of a second.
    ///
    /// From an idle processor a look at a key costs 0.14 to 0.19 ms, most of it for waking up with cold
    /// caches. With a look every 45 ms that was 0.33 % of a core, every 85 ms 0.16 to 0.22 %. With jitter,
    /// so that waiters that were woken together do not go on together.
    static func untilNextLook() -> Int64 { 75_000_000 + BootTime.now.nanoseconds % 20_000_000 }
}
