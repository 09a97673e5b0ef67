internal import FlockCache
internal import SystemCalls

/// How a wait for the end of COMMAND's output came out.
enum OutputEnd {
    /// Every process that could write has closed it, and all of it was read; or nobody wants more of it.
    case complete
    /// Some process still holds it open.
    case held(PipeWriters)
    /// A signal asked this process to end.
    case interrupted(Int32)
}

extension CommandRun {
    /// Reads COMMAND's output to its end after COMMAND has ended, as `$(…)` does: what a process that COMMAND
    /// left behind still writes belongs to it.
    ///
    /// Promises that `.complete` is returned only when the kernel has said that there are no more bytes and no
    /// writers. What could break it: a writer that this process cannot see, which nevertheless keeps the pipe
    /// open; a process that is killed here, which publishes nothing; a writer that never stops, which the limit
    /// ends.
    ///
    /// - Parameters:
    ///   - limit: nil is without end, zero takes only what is there.
    ///   - overdue: called once, when the wait has lasted that long.
    mutating func waitForOutput(
        upTo limit: Duration?, _ signals: borrowing CaughtSignals,
        overdue: (after: Duration, say: (PipeWriters) -> Void)? = nil
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
                upTo: [left, silence].compactMap { $0 }.min())
            if ready[0] {
                while let signal = try signals.next() {
                    if CaughtSignals.isEnding(signal) { return .interrupted(signal) }
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

/// The processes that can write to a pipe, as far as this process may know.
struct PipeWriters {
    /// The first of them, and its program.
    private(set) var first: (id: Int32, program: String)?
    private var count = 0
    /// Why they cannot be looked for.
    private var obstacle: Errno?

    /// Looks for them in `/proc`, which takes some microseconds a descriptor.
    ///
    /// Not seen are those of other users, where this process is not root, and those of PID namespaces that this
    /// one does not contain.
    init(of pipe: PipeEnd) {
        do throws(Errno) {
            let name = Array("pipe:[\(try pipe.inode())]".utf8)
            try Directory.open(path: "/proc").forEachName { (entry) throws(Errno) in
                guard let id = Int32(String(decoding: entry, as: UTF8.self)), id != Process.id
                else { return true }
                if try Self.writes(id, to: name) { add(id) }
                return true
            }
        } catch {
            obstacle = error
        }
    }

    private mutating func add(_ id: Int32) {
        count += 1
        guard first == nil else { return }
        first = (id, ProcessStatus(of: id).map { shown($0.command) } ?? "ended since")
    }

    private static func writes(_ id: Int32, to name: [UInt8]) throws(Errno) -> Bool {
        var isFound = false
        do throws(Errno) {
            let descriptors = try Directory.open(path: procFile("fd", of: id))
            try descriptors.forEachName { (number) throws(Errno) in
                let path = Array("/proc/\(id)/fd/".utf8) + number
                // The permissions of the link say what the descriptor was opened for.
                guard Process.target(of: FileName(path)) == name,
                    let link = try descriptors.status(of: FileName(number)),
                    link.mode & 0o200 != 0
                else { return true }
                isFound = true
                return false
            }
        } catch {
            // It has ended meanwhile, or is another user's. Out of descriptors all would seem to be.
            if error.isShortage { throw error }
        }
        return isFound
    }

    /// Who holds the pipe, in words.
    var description: String {
        if let first {
            let others = count > 1 ? " and \(count - 1) more" : ""
            return "pid \(first.id) (\(first.program))\(others)"
        }
        if let obstacle {
            return "a process that cannot be looked for (/proc: \(obstacle.message))"
        }
        return "a process that cannot be seen from here (another user's, or outside this container)"
    }
}
