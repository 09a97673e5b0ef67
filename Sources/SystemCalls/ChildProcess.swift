internal import CSystem

/// A child that executes a command; it is killed when this process ends.
///
/// That it is killed the kernel sees to (`PR_SET_PDEATHSIG`). Where the command has a process group of its own, the
/// group is killed too, by the process beside it (attendant.c). Out of reach is what has left the group, or changes
/// its user.
package final class ChildProcess: Sendable {
    package let id: Int32
    /// The process group that it has to itself; 0 where it is in ours.
    private let group: Int32
    private let descriptor: File

    /// How a command ended.
    package enum Ending: Equatable, Sendable {
        case exit(Int32)
        case signal(Int32)

        /// As a shell has it: its exit code, or 128 and the signal.
        package var code: Int32 {
            switch self {
            case .exit(let code): code
            case .signal(let number): 128 + number
            }
        }
    }

    /// Why a command was not started.
    package struct Failure: Error {
        package let errno: Errno
        /// Whether it could not be executed; otherwise the system lacks something, and it was not tried.
        package let isOfExecution: Bool
    }

    /// Executes a command with variables, as this process was started: its signals, and its file creation
    /// mask; nothing but descriptors 0 to 2 is inherited.
    ///
    /// Signals that have come are told by `signals` next.
    ///
    /// - Parameters:
    ///   - arguments: the first is the program, looked for in `PATH` unless it has a slash.
    ///   - output: what the command has as standard output; nil is this process's own.
    ///   - end: from then on it is not executed any more, which fails with `.timerExpired`.
    package convenience init(
        _ arguments: [[UInt8]], variables: [[UInt8]], output: PipeEnd?,
        signals: borrowing CaughtSignals, before end: BootTime? = nil
    ) throws(Failure) {
        try self.init(
            arguments, variables, output, signals.number, apart: signals.isApart, before: end)
    }

    /// The same for a program that catches no signals.
    package convenience init(
        _ arguments: [[UInt8]], variables: [[UInt8]], output: PipeEnd?
    ) throws(Failure) {
        try self.init(arguments, variables, output, -1, apart: false, before: nil)
    }

    private init(
        _ arguments: [[UInt8]], _ variables: [[UInt8]], _ output: PipeEnd?, _ signals: Int32,
        apart: Bool, before end: BootTime?
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
                                apart: apart ? 1 : 0,
                                not_after: end?.nanoseconds ?? .max, pidfd: -1, group: 0,
                                execution_failed: 0)
                            return unsafe csystem_spawn(&child)
                        }
                    }
                })
        } catch {
            throw Failure(errno: error, isOfExecution: unsafe child.execution_failed != 0)
        }
        group = unsafe child.group
        descriptor = unsafe File(number: child.pidfd)
    }

    /// Can be read when it has ended.
    package var ended: Int32 { descriptor.number }

    /// Whether it has a process group of its own.
    package var isApart: Bool { group > 0 }

    /// Sends a signal to it, and to its group where it has one of its own; one that has ended gets none.
    ///
    /// Throws where the command may not be sent it, as when it runs for another user, although the others of its
    /// group have got it.
    package func signal(_ number: Int32) throws(Errno) {
        _ = try call { csystem_signal_command(id, group, number) }
    }

    /// Has it ended in time also where this process is stopped then: TERM half a second after `deadline`, and KILL
    /// `killAfter` later.
    ///
    /// Call it again to put that off; false where it has been sent TERM by then.
    package func end(at deadline: BootTime, killAfter: Duration) -> Bool {
        csystem_put_off_deadline(deadline.nanoseconds, killAfter.clampedNanoseconds) != 0
    }

    /// Leaves its end to this process, and only KILL, so long after now, also where it is stopped; true where TERM
    /// has been sent by then.
    package static func takeEnd(killAfter: Duration) -> Bool {
        csystem_take_deadline(killAfter.clampedNanoseconds) != 0
    }

    /// Waits for its end.
    ///
    /// Once only.
    package func wait() throws(Errno) -> Ending {
        let result = Int32(try call { csystem_wait_child(id) })
        return result < 256 ? .exit(result) : .signal(result - 256)
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

    /// Keeps what `keepThroughExecution` was called for also in a process of our own, until this process ends;
    /// what it executes in its place is the same process.
    package static func startGuardian() throws(Errno) {
        _ = try call { csystem_start_guardian() }
    }

    /// From now on this process gets TERM when the one that started it ends; at once where that has happened.
    package static func endWithParent() throws(Errno) {
        _ = try call { csystem_end_with_parent() }
    }

    /// The same for what is executed in place of this process.
    package static func endWithParentInPlace() throws(Errno) {
        _ = try call { csystem_end_with_parent_in_place() }
    }

    /// Whether the process that started this one has ended.
    package static var hasParentEnded: Bool { csystem_parent_has_ended() != 0 }

    /// The process that started this one; 0 where it is outside this PID namespace.
    package static var parentAtStart: Int32 { csystem_parent_at_start() }

    /// Ends this process by a signal, without a core file; returns in process 1 of a PID namespace, which the
    /// kernel does not end so.
    package static func end(by number: Int32) { csystem_end_by_signal(number) }

    /// Stops this process as TSTP does; false where that does not stop it.
    package static func stop() -> Bool { csystem_stop() != 0 }
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
