import Glibc
import Testing
import TestSupport

/// A COMMAND that counts the TERMs that it gets, and has a child, in a session without a terminal.
///
/// What it says goes to a file: a line for each signal. It ends at USR2 with the code 7.
struct SignalCounter {
    let wrapper: Child
    /// COMMAND, and its child, which ends by TERM.
    let command, child: pid_t
    private let log: String

    private static let program = """
        import os, signal
        child = os.fork()
        if child == 0:
            while True: signal.pause()
        signal.pthread_sigmask(signal.SIG_BLOCK, [15, 12])
        log = open(os.environ["LOG"], "a")
        def say(text): print(text, file=log, flush=True)
        say("%d %d" % (os.getpid(), child))
        while True:
            number = signal.sigwait([15, 12])
            say(int(number))
            if number == 12: os._exit(7)
        """

    /// Starts a verb such as `lock k --` with the counter as its COMMAND.
    ///
    /// - Parameter words: what stands before the command.
    init(_ stage: Stage, _ verb: String, under words: String = "") throws {
        log = stage.directory("log-\(UInt64.random(in: 0 ... .max))")
        var variables = stage.variables
        variables["COUNTER"] = Self.program
        variables["LOG"] = log
        let line = "exec \(words) flock-cache \(verb) python3 -c \"$COUNTER\""
        wrapper = Child("setsid", ["bash", "-c", line], environment: variables)
        let log = log
        #expect(waitUntil { contents(of: log)?.last == 10 })
        let numbers = Self.lines(log).first?.split(separator: " ").compactMap { pid_t($0) } ?? []
        try #require(numbers.count == 2, "\(Self.lines(log))")
        (command, child) = (numbers[0], numbers[1])
    }

    private static func lines(_ path: String) -> [String] {
        String(decoding: contents(of: path) ?? [], as: UTF8.self).split(separator: "\n").map(
            String.init)
    }

    /// The signals that it got so far.
    var got: [String] { Array(Self.lines(log).dropFirst()) }

    /// Ends COMMAND, and returns what it got before: a second TERM would come before USR2.
    func finish() -> [String] {
        let log = log
        _ = waitUntil { Self.lines(log).contains("15") }
        kill(command, SIGUSR2)
        _ = wrapper.finish()
        return got
    }
}
