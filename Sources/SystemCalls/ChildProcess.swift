internal import CSystem

/// A child that executes a command; it is killed when this process ends.
///
/// That it is killed the kernel sees to (`PR_SET_PDEATHSIG`). It does not reach the child's own children,
/// nor a command that changes its user.
package final class ChildProcess: Sendable {
    package let id: Int32
    private let descriptor: File

    /// Why a command was not started.
    package struct Failure: Error {
        package let errno: Errno
        /// Whether it could not be executed; otherwise the system lacks something, and it was not tried.
        package let isOfExecution: Bool
    }

    /// Executes a command with variables, as this process was started: its signals, and its file creation
    /// mask; nothing but descriptors 0 to 2 is inherited.
    ///
    /// - Parameters:
    ///   - arguments: the first is the program, looked for in `PATH` unless it has a slash.
    ///   - output: what the command has as standard output; nil is this process's own.
    ///   - signals: those that have come are passed on to it.
    ///   - end: from then on it is not executed any more, which fails with `.timerExpired`.
    package init(
        _ arguments: [[UInt8]], variables: [[UInt8]], output: PipeEnd?,
        signals: borrowing CaughtSignals, before end: BootTime? = nil
    ) throws(Failure) {
        let started = try Started(arguments, variables, output, signals.number, end)
        id = started.id
        descriptor = File(number: started.descriptor)
    }

    /// The same for a program that catches no signals.
    package init(
        _ arguments: [[UInt8]], variables: [[UInt8]], output: PipeEnd?
    ) throws(Failure) {
        let started = try Started(arguments, variables, output, -1, nil)
        id = started.id
        descriptor = File(number: started.descriptor)
    }

    private struct Started {
        let id, descriptor: Int32

        init(
            _ arguments: [[UInt8]], _ variables: [[UInt8]], _ output: PipeEnd?, _ signals: Int32,
            _ end: BootTime?
        ) throws(Failure) {
            var child = unsafe csystem_child()
            do throws(Errno) {
                id = Int32(
                    try call {
                        unsafe withStrings(arguments) { arguments in
                            unsafe withStrings(variables) { variables in
                                unsafe child = csystem_child(
                                    arguments: arguments, environment: variables,
                                    output: output?.number ?? -1, signals: signals,
                                    not_after: end?.nanoseconds ?? .max, pidfd: -1, early: 0,
                                    execution_failed: 0)
                                return unsafe csystem_spawn(&child)
                            }
                        }
                    })
            } catch {
                throw Failure(errno: error, isOfExecution: unsafe child.execution_failed != 0)
            }
            descriptor = unsafe child.pidfd
            for number: Int32 in 1..<64 where unsafe child.early >> UInt64(number) & 1 == 1 {
                _ = csystem_signal(id, number)
            }
        }
    }

    /// Can be read when it has ended.
    package var ended: Int32 { descriptor.number }

    /// Sends it a signal; one that has ended gets none.
    package func signal(_ number: Int32) { _ = csystem_signal(id, number) }

    /// Waits for its end: its exit code, or 128 and the number of the signal that ended it.
    ///
    /// Once only.
    package func wait() throws(Errno) -> Int32 {
        Int32(try call { csystem_wait_child(id) })
    }
}

extension Process {
    /// Executes a command in place of this process, as this process was started; returns why it could not.
    ///
    /// Nothing but descriptors 0 to 2 is inherited, and what `keepThroughExecution` was called for.
    package static func execute(_ arguments: [[UInt8]], variables: [[UInt8]]) -> Errno {
        let result = unsafe withStrings(arguments) { arguments in
            unsafe withStrings(variables) { unsafe csystem_execute(arguments, $0) }
        }
        return Errno(code: Int32(truncatingIfNeeded: -result))
    }
}

/// One end of a pipe; closed when its last user lets go of it.
package final class PipeEnd: Sendable {
    private let file: File
    package var number: Int32 { file.number }

    private init(_ number: Int32) { file = File(number: number) }

    /// A pipe: what is written to the one is read from the other.
    package static func pair() throws(Errno) -> (reading: PipeEnd, writing: PipeEnd) {
        var ends: [Int32] = [0, 0]
        _ = try call { unsafe csystem_pipe(&ends) }
        return (PipeEnd(ends[0]), PipeEnd(ends[1]))
    }

    /// The pipe's number, as in the links of `/proc/PID/fd`.
    package func inode() throws(Errno) -> UInt64 { try file.status().inode }

    /// How many bytes can be read now.
    package func readableBytes() throws(Errno) -> Int {
        Int(try call { csystem_readable_bytes(file.number) })
    }
}

/// The signals that are passed on to a command, from now on to be read instead of obeyed: TERM, INT,
/// HUP, QUIT, USR1, USR2 and WINCH.
///
/// They stay blocked when this goes away, until `release`: its owner has a result to report.
package struct CaughtSignals: ~Copyable {
    private let file: File

    package init() throws(Errno) {
        file = File(number: Int32(try call { csystem_catch_signals() }))
    }

    /// Can be read when there is a signal.
    package var number: Int32 { file.number }

    /// Lets signals end this process again, one that has come meanwhile at once.
    package static func release() { csystem_release_signals() }

    /// Whether a signal asks a process to end: TERM, INT, HUP or QUIT, unless this process was started with the
    /// signal ignored.
    package static func isEnding(_ number: Int32) -> Bool {
        [1, 2, 3, 15].contains(number) && csystem_ignores_signal(number) == 0
    }

    /// Ends this process by a signal that was caught; returns in process 1 of a PID namespace, which the kernel
    /// does not end so.
    package static func endProcess(by number: Int32) { csystem_end_by_signal(number) }

    /// The next signal, for a process without a child; nil when there is none.
    package func next() throws(Errno) -> Int32? {
        var fromKernel: Int32 = 0
        let number = Int32(try call { unsafe csystem_next_signal(file.number, &fromKernel) })
        return number == 0 ? nil : number
    }

    /// The next signal that a child has not got yet; nil when there is none.
    ///
    /// What a terminal sends it sends to the whole group, so a child has it already, unless it has left the
    /// group. Only a terminal's end is told to the session's leader alone.
    package func next(for child: ChildProcess) throws(Errno) -> Int32? {
        while true {
            var fromKernel: Int32 = 0
            let number = Int32(try call { unsafe csystem_next_signal(file.number, &fromKernel) })
            if number == 0 { return nil }
            let isHangUp = number == 1 && csystem_is_session_leader() == 1
            let hasLeft = csystem_is_in_our_group(child.id) == 0
            if fromKernel == 0 || isHangUp || hasLeft { return number }
        }
    }
}

/// Waits until one of up to eight descriptors can be read, or written where that is asked for, or has
/// failed; returns which, in their order.
///
/// A negative one stands for none.
///
/// - Parameter limit: nil is without end.
package func waitForAny(
    _ files: [(number: Int32, isWritten: Bool)], upTo limit: Duration? = nil
) throws(Errno) -> [Bool] {
    let numbers = files.map(\.number)
    let writing = files.map { $0.isWritten ? Int32(1) : 0 }
    let nanoseconds = limit?.clampedNanoseconds ?? -1
    let ready = try call {
        unsafe csystem_poll(numbers, writing, numbers.count, nanoseconds)
    }
    return files.indices.map { ready >> Int64($0) & 1 == 1 }
}

/// Runs a closure with texts as C has them: a list of pointers that nil ends.
private func withStrings<R>(
    _ texts: [[UInt8]],
    _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
    let size = texts.reduce(0) { $0 + $1.count + 1 }
    let bytes = UnsafeMutableBufferPointer<CChar>.allocate(capacity: max(1, size))
    let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
        capacity: texts.count + 1)
    defer {
        unsafe bytes.deallocate()
        unsafe list.deallocate()
    }
    var used = 0
    for (index, text) in texts.enumerated() {
        unsafe (list + index).initialize(to: bytes.baseAddress.map { unsafe $0 + used })
        for byte in text {
            unsafe bytes[used] = CChar(bitPattern: byte)
            used += 1
        }
        unsafe bytes[used] = 0
        used += 1
    }
    unsafe (list + texts.count).initialize(to: nil)
    return unsafe body(list)
}
