internal import FlockCache
internal import SystemCalls

/// Says what is waited for, once: after a second on a terminal, after ten without one; and ends a wait
/// that could never end.
final class WaitNotice {
    private let key: Store.Key
    private let limit: Duration?
    private let words: Words
    private let environment: Environment
    private let ownProcess: Int32?
    private var hasSpoken = false

    init(_ invocation: Invocation, _ key: Store.Key, limit: Duration?, owner: ClaimOwner? = nil) {
        self.key = key
        self.limit = limit
        words = Words(invocation)
        environment = invocation.environment
        ownProcess = if case .process(let identity, _) = owner { identity.id } else { nil }
    }

    /// Is told of each look: who has the key, nil for nobody, and how long the wait has been going on.
    ///
    /// - Throws: `.wouldDeadlock` where it is whoever runs this command.
    func look(_ holder: Holder?, _ elapsed: Duration) throws(StoreError) {
        if let holder, let session = holder.session, environment.heldSessions.contains(session) {
            throw .waitsForItself(key, holder)
        }
        guard isTime(elapsed) else { return }
        let who = holder.map { "\($0) is at it" } ?? "nobody has begun"
        let isOwn = ownProcess != nil && holder?.processID == ownProcess
        say(key, who + (isOwn ? "; that is the calling program itself" : ""), elapsed)
    }

    /// The same for locks.
    func look(_ attempt: LockAttempt) {
        guard isTime(attempt.elapsed) else { return }
        let who = attempt.holder().map { "\($0) has it locked" } ?? "somebody else has it locked"
        say(attempt.awaited ?? key, who, attempt.elapsed)
    }

    /// The same for a lease.
    func lookAtLease(_ holder: Holder?, _ elapsed: Duration) {
        guard isTime(elapsed) else { return }
        say(key, holder.map { "\($0) has it leased" } ?? "somebody else has it leased", elapsed)
    }

    private func isTime(_ elapsed: Duration) -> Bool {
        // Most waits are shorter than either.
        guard !hasSpoken, elapsed >= .seconds(1) else { return false }
        return elapsed >= Self.patience(environment)
    }

    /// After what time a wait is said.
    static func patience(_ environment: Environment) -> Duration {
        Process.isTerminal(environment.error) ? .seconds(1) : .seconds(10)
    }

    private func say(_ key: Store.Key, _ who: String, _ elapsed: Duration) {
        hasSpoken = true
        let until = limit.map { "for \(($0 - elapsed).spoken) more" } ?? "for as long as it takes"
        words.say("waiting for \(key): \(who); waiting \(until)")
    }
}
