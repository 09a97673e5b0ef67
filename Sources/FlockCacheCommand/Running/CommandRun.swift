internal import FlockCache
internal import SystemCalls

// Running: a COMMAND as a child: started, signals and output passed on, seen to its end.
//
// Uses Report, for failures, and the library's `ValueWriter`, which keeps what COMMAND prints. It
// is handed words, variables and descriptors, and knows neither options nor what COMMAND is run
// for: claims, locks and leases are the commands' business.

/// A COMMAND being run for a command such as `run`: started, its output passed on, signals passed
/// on to it, until it has ended.
///
/// Nothing here polls: one wait for its output, its end, a signal, and room for what is passed on.
struct CommandRun {
    /// How COMMAND ended.
    private(set) var ending = ChildProcess.Ending.exit(0)
    /// Its output, some of which may still have to be passed on.
    var output: OutputRelay
    /// Where its output comes from; nil when the end of that has been read, or nobody wants more.
    var reading: PipeEnd?
    /// A signal that asks a process to end, and that came before COMMAND's end was seen.
    private(set) var endingSignal: Int32?

    /// Runs COMMAND to its end, which is not yet the end of its output: see `waitForOutput`.
    ///
    /// Call `CaughtSignals()` before what must not be ended by a signal, and hand it over: whatever
    /// came since is passed on as soon as COMMAND is there.
    ///
    /// - Parameters:
    ///   - end: as for `run`.
    ///   - watch: as for `run`, and after each piece of output.
    init(
        _ request: CommandRequest, before end: BootTime?, signals: borrowing CaughtSignals,
        to descriptor: Int32, keepingIn value: ValueWriter,
        watch: (SignalRelay) -> Duration? = { _ in nil }
    ) throws(Failure) {
        output = OutputRelay(to: descriptor, from: value)
        let child = try Self.start(request, &reading, signals, before: end)
        var relay = SignalRelay(to: child, request)
        ending = try Self.whileRunning(child) { () throws(Errno) in
            try passOn(of: child, &relay, signals, watch)
            return try child.wait()
        }
        endingSignal = relay.endingSignal
    }

    /// Starts COMMAND with the write end of a pipe as its standard output, and closes our copy of
    /// that end.
    ///
    /// The end of the pipe then means that COMMAND, and every process that it gave the descriptor
    /// to, has closed it.
    private static func start(
        _ request: CommandRequest, _ reading: inout PipeEnd?, _ signals: borrowing CaughtSignals,
        before end: BootTime?
    ) throws(Failure) -> ChildProcess {
        let pipe = try own { () throws(Errno) in try PipeEnd.pair() }
        reading = pipe.reading
        return try start(request, output: pipe.writing, signals, before: end)
    }

    private static func start(
        _ request: CommandRequest, output: PipeEnd?, _ signals: borrowing CaughtSignals,
        before end: BootTime?
    ) throws(Failure) -> ChildProcess {
        do throws(ChildProcess.Failure) {
            return try ChildProcess(
                request.arguments, variables: request.variables, output: output, signals: signals,
                before: end)
        } catch {
            if error.errno == .timerExpired, !error.isOfExecution {
                throw Failure(.lost, "the time to start COMMAND is over")
            }
            throw error.isOfExecution
                ? failure(of: request.arguments, error.errno)
                : failure("start a command", error.errno)
        }
    }

    static func own<R: ~Copyable>(_ body: () throws(Errno) -> R) throws(Failure) -> R {
        do throws(Errno) {
            return try body()
        } catch {
            throw failure("run a command", error)
        }
    }

    private static func failure(_ operation: String, _ error: Errno) -> Failure {
        let advice = error == .tooManyFiles ? "; " + StoreError.descriptorAdvice : ""
        return Failure(.ownFailure, "cannot \(operation): \(error.message)\(advice)")
    }

    /// Sees COMMAND to its end; kills it where that fails, because the caller then gives up the
    /// claim, lock or lease that COMMAND runs under.
    private static func whileRunning(
        _ child: ChildProcess, _ body: () throws(Errno) -> ChildProcess.Ending
    ) throws(Failure) -> ChildProcess.Ending {
        do throws(Failure) {
            return try own(body)
        } catch {
            // Where either fails it has been waited for.
            try? child.signal(.kills)
            _ = try? child.wait()
            throw error
        }
    }

    /// Runs COMMAND to its end with our own output; returns how it ended.
    ///
    /// - Parameters:
    ///   - end: from then on COMMAND is not started any more, which fails with `.lost`; and the process beside it ends
    ///     it, unless `watch` has put that off.
    ///   - watch: called at the beginning, after each signal, and when the time that it
    ///     returned last is over; nil is no time.
    static func run(
        _ request: CommandRequest, before end: BootTime?,
        watch: (SignalRelay) -> Duration? = { _ in nil }
    ) throws(Failure) -> ChildProcess.Ending {
        let signals = try catchSignals()
        let child = try start(request, output: nil, signals, before: end)
        var relay = SignalRelay(to: child, request)
        return try whileRunning(child) { () throws(Errno) in
            while true {
                // Before the first wait: what came before COMMAND was there is not told by the descriptor.
                try relay.passOn(signals)
                let limit = [watch(relay), relay.limit].compactMap { $0 }.min()
                let ready = try waitForAny(
                    [(signals.number, false), (child.ended, false)], upTo: limit)
                if ready[1] { return try child.wait() }
            }
        }
    }

    /// Waits for the end of a killed flock-cache whose claim or lock is free, so that two COMMANDs
    /// never overlap.
    ///
    /// When a flock-cache is killed, the kernel releases its locks first, and kills its COMMAND
    /// (PDEATHSIG) only when the process is gone. This waits for that second event, and at most 100
    /// ms: the number may have become another process's.
    static func waitForEnd(of former: Int32?) {
        guard let former, let process = try? ProcessDescriptor(former) else { return }
        try? process.waitForExit(upTo: .milliseconds(100))
    }

    /// The last part of a program's path, for notes about who holds something.
    static func programName(_ path: [UInt8]) -> [UInt8] {
        Array(path.suffix(from: path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0))
    }

    /// From now on signals are for COMMAND.
    static func catchSignals() throws(Failure) -> CaughtSignals {
        do throws(Errno) {
            return try CaughtSignals()
        } catch {
            throw failure("catch signals", error)
        }
    }

    /// As `env(1)` has it: 127 where there is no such program, 126 where it cannot be executed.
    static func failure(of arguments: [[UInt8]], _ error: Errno) -> Failure {
        let code: ExitCode = error == .noEntry ? .notFound : .notExecutable
        let program = arguments[0]
        var reason = error.message
        if error == .noEntry, !program.contains(UInt8(ascii: "/")) {
            reason =
                "there is no such program in PATH; a shell's command line or builtin is run by: -- sh -c '…'"
        }
        return Failure(code, "cannot run '\(shown(program))': \(reason)")
    }

    private mutating func passOn(
        of child: ChildProcess, _ relay: inout SignalRelay, _ signals: borrowing CaughtSignals,
        _ watch: (SignalRelay) -> Duration?
    ) throws(Errno) {
        while true {
            try relay.passOn(signals)
            let limit = [watch(relay), relay.limit].compactMap { $0 }.min()
            // -1 is passed over by poll(2).
            let ready = try waitForAny(
                [
                    (signals.number, false), (child.ended, false), (readable, false),
                    (writable, true),
                ], upTo: limit)
            try move(reading: ready[2], writing: ready[3])
            // A signal that came before COMMAND's end asks this process to end as well.
            if ready[1] { return try relay.passOn(signals) }
        }
    }

    /// The descriptor that output is read from, -1 where none is to be read now.
    var readable: Int32 { output.takesMore ? reading?.number ?? -1 : -1 }

    /// The descriptor that it is passed on to, -1 where nothing is to be passed on now.
    var writable: Int32 { output.isEmpty ? -1 : output.descriptor }

    /// Reads some of the output, and writes some, where poll(2) has said that it can be done
    /// without waiting.
    mutating func move(reading isReadable: Bool, writing isWritable: Bool) throws(Errno) {
        if isWritable { output.writeSome() }
        if isReadable { try take(.max) }
    }

    /// Takes some of the output, and returns how much; lets go of it when there is no more, or when
    /// it is not wanted: then COMMAND is to learn of that as in any pipeline, by a signal.
    @discardableResult
    mutating func take(_ most: Int) throws(Errno) -> Int {
        guard let open = reading.take() else { return 0 }
        return try withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 8) {
            (buffer) throws(Errno) in
            let part = UnsafeMutableRawBufferPointer(
                rebasing: buffer.prefix(min(most, buffer.count)))
            let count = try readDescriptor(open.number, into: part)
            guard count > 0 else { return 0 }
            output.add(UnsafeRawBufferPointer(rebasing: part.prefix(count)))
            if output.isWanted { reading = open }
            return count
        }
    }
}
