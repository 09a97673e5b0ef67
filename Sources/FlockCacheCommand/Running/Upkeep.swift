internal import FlockCache
internal import Synchronization
internal import SystemCalls

/// What is kept up while a COMMAND runs: a lease or a claim, by renewing it; locks and a session, by asking the server
/// that holds them.
///
/// Each renewal, and each question, is made by a thread of its own, because a device or a server that does not answer
/// keeps it in the kernel for as long as it likes. The thread that calls `look` makes no file operation: so it passes
/// signals on, and sees the end of the time.
final class Upkeep {
    enum Outcome: Sendable {
        case kept
        /// Another process is in the middle of a change; it is tried again soon.
        case busy
        case failed(String)
        case lost(String)
    }

    /// What a look has come to.
    enum Verdict {
        case kept(lookAgain: Duration)
        case lost(String)
    }

    private let work: @Sendable () -> Outcome
    /// Looks each second whether somebody has ended it; nil is not.
    private let check: (@Sendable () -> Outcome)?
    private let time: Duration
    /// What it means that it was not kept up in time.
    private let overdueWords: String
    private var schedule: LeaseRenewal
    private var attempt: Attempt?
    private var pause = shortestPause
    /// Why the last attempt did not succeed.
    private(set) var lastFailure: String?
    /// When it is lost: so long after the last attempt that succeeded began.
    private(set) var deadline: BootTime

    /// - Parameters:
    ///   - time: for how long one attempt keeps it up; another is made after a third of that.
    ///   - deadline: until when it is kept up already.
    ///   - overdue: what is said when that has come.
    ///   - check: looks whether it was lost, and keeps nothing up.
    init(
        for time: Duration, until deadline: BootTime, overdue: String,
        check: (@Sendable () -> Outcome)? = nil, _ work: @escaping @Sendable () -> Outcome
    ) {
        self.work = work
        self.check = check
        overdueWords = overdue
        self.time = time
        self.deadline = deadline
        schedule = LeaseRenewal(time)
    }

    /// Whether an attempt is being made, which may be waiting for a device or a server.
    var isTrying: Bool { attempt != nil }

    private static let shortestPause = Duration.microseconds(200)
    /// An attempt that takes long waits for a device or a server.
    private static let longestPause = Duration.milliseconds(50)

    /// Takes what an attempt has come to, and begins another when it is time.
    func look() -> Verdict {
        if let outcome = attempt?.outcome, let reason = take(outcome) { return .lost(reason) }
        // Looked at before anything is renewed, which would succeed where no other process has asked meanwhile.
        let left = timeLeft
        guard left > .zero else { return .lost(overdue) }
        if attempt == nil {
            if schedule.timeLeft <= .zero {
                begin()
            } else if let check, schedule.timeToCheck <= .zero {
                schedule.wasChecked()
                begin(check, keepsUp: false)
            }
        }
        guard attempt != nil else { return .kept(lookAgain: min(nap, left)) }
        defer { pause = min(pause * 2, Self.longestPause) }
        return .kept(lookAgain: min(pause, left))
    }

    /// Waits for an attempt that is being made, at most until it is too late.
    ///
    /// - Parameter again: whether another one is made at once: for what may have been lost since the last.
    /// - Returns: why it was lost; nil where it was not.
    func finish(again: Bool) -> String? {
        if let reason = waitForAttempt() { return reason }
        guard again else { return timeLeft > .zero ? nil : overdue }
        begin()
        return waitForAttempt()
    }

    private func waitForAttempt() -> String? {
        while let attempt {
            if let outcome = attempt.outcome {
                if let reason = take(outcome) { return reason }
                break
            }
            guard timeLeft > .zero else { return overdue }
            sleep(nanoseconds: pause.clampedNanoseconds)
            pause = min(pause * 2, Self.longestPause)
        }
        return nil
    }

    /// How long to sleep until the next attempt.
    ///
    /// Sleeps stand still through a suspend, and the clock of leases does not.
    private var nap: Duration {
        let nap = min(schedule.timeLeft, .seconds(1))
        return max(.zero, check == nil ? nap : min(nap, schedule.timeToCheck))
    }

    private var timeLeft: Duration {
        .nanoseconds(deadline.nanoseconds - BootTime.now.nanoseconds)
    }

    private var overdue: String {
        if let attempt {
            let waited = BootTime.now.nanoseconds - attempt.start.nanoseconds
            return overdueWords
                + ": no answer from the file system for \(Duration.nanoseconds(waited).spoken)"
        }
        return overdueWords + (lastFailure.map { ": \($0)" } ?? "")
    }

    private func begin() { begin(work, keepsUp: true) }

    private func begin(_ work: @escaping @Sendable () -> Outcome, keepsUp: Bool) {
        let fresh = Attempt(keepsUp: keepsUp)
        pause = Self.shortestPause
        do throws(Errno) {
            try startThread { fresh.end(with: work()) }
            attempt = fresh
        } catch {
            lastFailure = "cannot start a thread: \(error.message)"
            schedule.failed()
        }
    }

    /// Returns why it was lost.
    private func take(_ outcome: Outcome) -> String? {
        let keepsUp = attempt?.keepsUp ?? true
        defer { attempt = nil }
        switch outcome {
        // What could not be looked at now the next attempt finds.
        case .kept where !keepsUp, .busy where !keepsUp, .failed where !keepsUp: break
        case .kept:
            let start = attempt?.start ?? BootTime.now
            deadline = max(deadline, start.advanced(by: time))
            lastFailure = nil
            schedule.succeeded(
                after: .nanoseconds(BootTime.now.nanoseconds - start.nanoseconds))
        case .busy: schedule.wasBusy()
        case .failed(let reason):
            lastFailure = reason
            schedule.failed()
        case .lost(let reason): return reason
        }
        return nil
    }

    /// One attempt, on its way from its thread.
    private final class Attempt: Sendable {
        let start = BootTime.now
        let keepsUp: Bool
        private let isOver = Atomic<Bool>(false)
        // Written before `isOver`, and read after it.
        private nonisolated(unsafe) var result: Outcome?

        init(keepsUp: Bool) { self.keepsUp = keepsUp }

        var outcome: Outcome? { isOver.load(ordering: .acquiring) ? unsafe result : nil }

        func end(with outcome: Outcome) {
            unsafe result = outcome
            isOver.store(true, ordering: .releasing)
        }
    }
}

extension Upkeep.Outcome {
    /// What asking a server has come to.
    init(_ ask: () throws(StoreError) -> Void) {
        do throws(StoreError) {
            try ask()
            self = .kept
        } catch {
            self =
                error.code == .lockLost ? .lost(error.description) : .failed(error.description)
        }
    }
}
