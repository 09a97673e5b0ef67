internal import SystemCalls

/// Sleeps between looks at something that others change, longer from time to time.
struct Pause {
    private var nanoseconds: Int64
    private let longest: Int64
    private var yieldsLeft: Int

    /// A shard mutex is held for 10 to 40 µs, so the first looks only let others run.
    ///
    /// 5 ms is long for a sleep and short for a person.
    init(shortest: Int64 = 20_000, longest: Int64 = 5_000_000, yields: Int = 4) {
        nanoseconds = shortest
        self.longest = longest
        yieldsLeft = yields
    }

    /// Whether the next pause only lets others run.
    var yields: Bool { yieldsLeft > 0 }

    /// One pause.
    mutating func next(until deadline: BootTime) {
        if yieldsLeft > 0 {
            yieldsLeft -= 1
            yieldProcessor()
            return
        }
        let end = nextEnd(until: deadline)
        sleep(nanoseconds: max(1, end.nanoseconds - BootTime.now.nanoseconds))
    }

    /// When the next pause ends, with jitter so that those who began together do not go on together.
    mutating func nextEnd(until deadline: BootTime) -> BootTime {
        let jittered = nanoseconds / 2 + jitter(upTo: nanoseconds)
        nanoseconds = min(nanoseconds * 2, longest)
        return min(deadline, BootTime.now.advanced(by: .nanoseconds(jittered)))
    }
}
