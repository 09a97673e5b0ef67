internal import SystemCalls

/// From when a call began to wait to when it is to end.
///
/// It ends by a clock that stands still through a suspend, as `flock -w` and `timeout` do; how long it has been going on
/// is for people, and counts one.
struct WaitSpan {
    let start = BootTime.now
    private let limit: TimeLimit

    /// nil is without end.
    init(_ limit: Duration?) { self.limit = TimeLimit(limit) }

    var elapsed: Duration { .nanoseconds(BootTime.now.nanoseconds - start.nanoseconds) }
    var isOver: Bool { limit.isOver }
    /// For one sleep, and not to be kept.
    var deadline: BootTime { limit.deadline }

    /// How long to wait for somebody else's change meanwhile.
    var patience: Duration {
        min(Limits.patience, max(.seconds(1), .nanoseconds(limit.left)))
    }
}

extension WaitSpan {
    /// After how many nanoseconds a waiter that nothing wakes looks again: so that a death, which nobody
    /// tells of, is noticed within a tenth of a second.
    ///
    /// From an idle processor a look at a key costs 0.14 to 0.19 ms, most of it for waking up with cold
    /// caches. With a look every 45 ms that was 0.33 % of a core, every 85 ms 0.16 to 0.22 %. With jitter,
    /// so that waiters that were woken together do not go on together.
    static func untilNextLook() -> Int64 { 75_000_000 + jitter(upTo: 20_000_000) }
}
