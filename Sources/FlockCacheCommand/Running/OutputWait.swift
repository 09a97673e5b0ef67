internal import FlockCache
internal import SystemCalls

/// How a wait for the end of COMMAND's output came out.
enum OutputEnd {
    /// Every process that could write has closed it, and all of it was read; or nobody wants more
    /// of it.
    case complete
    /// Some process still holds it open.
    case held(PipeWriters)
    /// A signal asked this process to end.
    case interrupted(Int32)
}

extension CommandRun {
    /// Reads COMMAND's output to its end after COMMAND has ended, as `$(…)` does: what a process
    /// that COMMAND left behind still writes belongs to it.
    ///
    /// Promises that `.complete` is returned only when the kernel has said that there are no more
    /// bytes and no writers. What could break it: a writer that this process cannot see, which
    /// nevertheless keeps the pipe open; a process that is killed here, which publishes nothing; a
    /// writer that never stops, which the limit ends.
    ///
    /// - Parameters:
    ///   - limit: nil is without end, zero takes only what is there.
    ///   - overdue: called once, when the wait has lasted that long.
    ///   - watch: called again and again; returns in how long it wants to be called at the latest.
    mutating func waitForOutput(
        upTo limit: Duration?, _ signals: borrowing CaughtSignals,
        overdue: (after: Duration, say: (PipeWriters) -> Void)? = nil,
        watch: () -> Duration? = { nil }
    ) throws(Errno) -> OutputEnd {
        let start = BootTime.now
        var overdue = overdue
        while let pipe = reading {
            let elapsed = Duration.nanoseconds(BootTime.now.nanoseconds - start.nanoseconds)
            let left = limit.map { max(.zero, $0 - elapsed) }
            if left == .zero { return try endNow() }
            let silence = overdue.map { max(.zero, $0.after - elapsed) }
            if silence == .zero, let due = overdue.take() { due.say(PipeWriters(of: pipe)) }
            let ready = try waitForAny(
                [(signals.number, false), (readable, false), (writable, true)],
                upTo: [left, silence, watch()].compactMap { $0 }.min())
            if ready[0] {
                while let signal = try signals.next() {
                    if signal.isEnding { return .interrupted(signal.number) }
                }
            }
            try move(reading: ready[1], writing: ready[2])
        }
        return .complete
    }

    private mutating func endNow() throws(Errno) -> OutputEnd {
        guard try !takeRest(), let open = reading else { return .complete }
        let writers = PipeWriters(of: open)
        // While they were looked for they may have ended.
        return try takeRest() ? .complete : .held(writers)
    }

    /// Takes what is there, and says whether that was the end.
    private mutating func takeRest() throws(Errno) -> Bool {
        guard let open = reading else { return true }
        var left = try open.readableBytes()
        while left > 0, reading != nil { left -= try take(left) }
        // Where there are no writers a pipe is readable for ever, and has nothing to read.
        if reading != nil, try waitForAny([(open.number, false)], upTo: .zero)[0],
            try open.readableBytes() == 0
        {
            reading = nil
        }
        return reading == nil
    }
}
