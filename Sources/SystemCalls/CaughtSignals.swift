internal import CSystem
internal import Glibc

/// A signal that came for a command.
package struct CaughtSignal {
    package let number: Int32
    fileprivate let record: csystem_signal

    /// Whether it asks a process to end: TERM, INT, HUP or QUIT, unless this process was started with the
    /// signal ignored.
    package var isEnding: Bool {
        [1, 2, 3, 15].contains(number) && csystem_ignores_signal(number) == 0
    }

    /// TSTP, and CONT: the command stops and goes on with this process.
    package var stops: Bool { number == SIGTSTP }
    package var continues: Bool { number == SIGCONT }
}

/// The signals that are passed on to a command, from now on to be read instead of obeyed: TERM, INT,
/// HUP, QUIT, USR1, USR2 and WINCH; where the command has a process group of its own, TSTP and CONT too.
///
/// They stay blocked when this goes away, until `release`: its owner has a result to report.
package struct CaughtSignals: ~Copyable {
    private let file: File
    /// Whether the command gets a process group of its own: there is no terminal, whose business groups are.
    package let isApart: Bool

    package init() throws(Errno) {
        isApart = csystem_has_terminal() == 0
        let isApart = isApart
        file = File(number: Int32(try call { csystem_catch_signals(isApart ? 1 : 0) }))
    }

    /// Can be read when there is a signal; not of those that came before the command was started.
    package var number: Int32 { file.number }

    /// Lets signals end this process again, one that has come meanwhile at once.
    package static func release() { csystem_release_signals() }

    /// The next signal, for a process without a child; nil when there is none.
    package func next() throws(Errno) -> CaughtSignal? {
        var signal = csystem_signal()
        let number = Int32(try call { unsafe csystem_next_signal(file.number, &signal) })
        return number == 0 ? nil : CaughtSignal(number: number, record: signal)
    }

    /// The next signal that a child has not got yet; nil when there is none.
    ///
    /// Each once, whoever sent it and to whom:
    /// - What a terminal sends it sends to the whole group, so a child has it already, unless it has left the
    ///   group. Only a terminal's end is told to the session's leader alone.
    /// - Of a process's signal the attendant (attendant.c) tells whether the child was sent it too: as one of the
    ///   group, or as each process by itself.
    /// - timeout(1) sends one signal twice, to its child and to its group: two of one sender that come
    ///   together are one.
    package func next(for child: ChildProcess) throws(Errno) -> CaughtSignal? {
        while let signal = try next() {
            if isMeant(signal, for: child) { return signal }
        }
        return nil
    }

    private func isMeant(_ signal: CaughtSignal, for child: ChildProcess) -> Bool {
        var record = signal.record
        let hasLeft = !child.isApart && csystem_is_in_our_group(child.id) == 0
        if record.from_kernel != 0 {
            let isHangUp = signal.number == SIGHUP && csystem_is_session_leader() == 1
            return isHangUp || hasLeft || child.isApart || record.is_early != 0
        }
        unsafe csystem_merge_signal(file.number, &record, Self.together)
        if signal.stops || signal.continues { return true }
        // Asked in every case: an answer belongs to one signal.
        let isKnown = csystem_others_got(signal.number, record.sender) != 0
        return !isKnown || hasLeft || record.is_early != 0
    }

    /// How long a sender may take between the two signals of timeout(1), or from one process to the next: it needs
    /// microseconds, and on a busy machine it may lose the processor in between.
    private static let together: Int64 = 20_000_000
}
