internal import FlockCache
internal import SystemCalls

/// What to run: a COMMAND, its variables, and whether it ends with the process that started this one.
struct CommandRequest {
    let arguments: [[UInt8]]
    let variables: [[UInt8]]
    /// Where it is told what goes wrong while COMMAND runs.
    let words: Words
    var endsWithParent = false
}

/// Passes signals on to a COMMAND, each once, and says at once which of them it could not be sent.
///
/// Where COMMAND has a process group of its own it stops and goes on with this process; at a terminal, which stops
/// groups, it is in ours.
struct SignalRelay {
    private let child: ChildProcess
    private let words: Words
    private let endsWithParent: Bool
    /// The last signal that asked a process to end, and came before COMMAND's end was seen.
    private(set) var endingSignal: Int32?
    /// When a COMMAND gets KILL that outlives the process which started this one.
    private var killing: BootTime?
    private var hasKilled = false

    /// How long a COMMAND may take to end after TERM, when the process that started this one has ended.
    private static let killAfter = Duration.seconds(5)

    init(to child: ChildProcess, _ request: CommandRequest) {
        self.child = child
        words = request.words
        endsWithParent = request.endsWithParent
    }

    /// Passes on what has come.
    mutating func passOn(_ signals: borrowing CaughtSignals) throws(Errno) {
        while let signal = try signals.next(for: child) {
            send(signal.number)
            if signal.isEnding { endingSignal = signal.number }
            // What does not stop this process must not stop COMMAND.
            if signal.stops, !Process.stop() { send(.continues) }
        }
        guard endsWithParent, !hasKilled else { return }
        if killing == nil, endingSignal != nil, Process.hasParentEnded {
            killing = BootTime.now.advanced(by: Self.killAfter)
        }
        guard let killing, killing <= BootTime.now else { return }
        hasKilled = true
        send(.kills)
    }

    /// When to call `passOn` again although no signal has come; nil is not.
    var limit: Duration? {
        guard let killing, !hasKilled else { return nil }
        return .nanoseconds(max(0, killing.nanoseconds - BootTime.now.nanoseconds))
    }

    /// Has COMMAND ended at a deadline by the process beside it, where this one is stopped then; false where that has
    /// happened.
    func guardEnd(at deadline: BootTime, killAfter: Duration) -> Bool {
        child.end(at: deadline, killAfter: killAfter)
    }

    /// Sends COMMAND a signal.
    func send(_ number: Int32) {
        do throws(Errno) {
            try child.signal(number)
        } catch {
            let advice =
                error == .notPermitted
                ? "; it runs for another user: send it the signal as that user, or as root" : ""
            words.warn(
                "cannot send \(Self.name(of: number)) to COMMAND, pid \(child.id): \(error.message)\(advice)"
            )
        }
    }

    private static func name(of number: Int32) -> String {
        let names: [Int32: String] = [
            .hangsUp: "HUP", 2: "INT", 3: "QUIT", .kills: "KILL", 10: "USR1", 12: "USR2",
            .terminates: "TERM", .continues: "CONT", 20: "TSTP", 28: "WINCH",
        ]
        return names[number] ?? "signal \(number)"
    }
}

extension Int32 {
    static let hangsUp: Int32 = 1
    static let kills: Int32 = 9
    static let terminates: Int32 = 15
    static let continues: Int32 = 18
}
