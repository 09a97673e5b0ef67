internal import SystemCalls

/// What somebody who waits for a lock sleeps on until the next step.
struct LockRest {
    private let wait: BoardWait
    /// When to look again whatever happens.
    let end: BootTime
    let line: Line

    /// One queue: the waiters for one byte of one lock, its own or its turnstile.
    ///
    /// A wake-up is for one of them.
    struct Line: Hashable {
        let hash: UInt64
        let bits: UInt32
    }

    init(_ wait: BoardWait, _ name: LockName, bits: UInt32, end: BootTime) {
        self.wait = wait
        self.end = end
        line = Line(hash: name.hash, bits: bits)
    }

    /// Sleeps until something may have changed, or the time has come; true when it ended by itself.
    func sleep(until deadline: BootTime) -> Bool {
        let end = min(end, deadline)
        wait.sleep(until: end)
        return !wait.hasBoard || BootTime.now >= end
    }

    /// Whether something may have changed since.
    var isOver: Bool { wait.isOver }
}
