internal import FlockCache
internal import SystemCalls

/// Says what is waited for, once: after a second on a terminal, after ten without one; and ends a
/// wait that could never end.
final class WaitNotice {
    /// Which waits are ended because they could never end by themselves.
    enum Refusal {
        /// For what the process tree has itself.
        case itself(Inherited.Kind)
        /// Also those against the order of keys, which could be a part of a circle.
        case circles(of: Inherited.Kind)

        fileprivate var kind: Inherited.Kind {
            switch self {
            case .itself(let kind), .circles(let kind): kind
            }
        }
        fileprivate var isOfItselfAlone: Bool { if case .itself = self { true } else { false } }
    }

    private let key: Store.Key
    private let limit: Duration?
    private let words: Words
    private let environment: Environment
    private let ownProcess: Int32?
    private let session: Session
    private let refusal: Refusal?
    private var hasSpoken = false
    /// Who has the lease, and since when of this wait that is known.
    private var found: (holder: Holder?, since: Duration)?
    /// Of the last look.
    private var elapsed = Duration.zero

    /// With `-v`, says how long the wait took that has succeeded.
    func tellEnd() {
        guard words.isVerbose, elapsed > .zero else { return }
        words.say("waited \(elapsed.spoken) for \(Phrases.quoted(key))")
    }

    init(
        _ invocation: Invocation, _ key: Store.Key, _ wait: Wait, in store: Store,
        refusing refusal: Refusal? = .itself(.computation), owner: ClaimOwner? = nil
    ) {
        self.key = key
        limit = if case .upTo(let limit) = wait { limit } else { nil }
        words = invocation.words
        environment = invocation.environment
        ownProcess = owner?.processID
        session = store.session
        self.refusal = refusal
    }

    /// Is told of each look: who has the key, nil for nobody, and how long the wait has been going
    /// on.
    ///
    /// - Throws: `.wouldDeadlock` where the wait could never end.
    func look(_ holder: Holder?, _ elapsed: Duration) throws(StoreError) {
        self.elapsed = elapsed
        if holder != nil { try check(key, holder) }
        guard isTime(elapsed) else { return }
        let isOwn =
            ownProcess != nil && holder?.processID == ownProcess && holder?.liveness == .alive
        say(.key(key), holder, isOwn: isOwn, elapsed)
    }

    /// The same for locks.
    func look(_ attempt: LockAttempt) throws(StoreError) {
        elapsed = attempt.elapsed
        if let awaited = attempt.awaited { try check(awaited, nil) }
        guard isTime(attempt.elapsed) else { return }
        say(.lock(attempt.awaited ?? key), attempt.holder(), attempt.elapsed)
    }

    /// The same for a lease.
    func lookAtLease(_ holder: Holder?, _ elapsed: Duration) throws(StoreError) {
        self.elapsed = elapsed
        try check(key, holder)
        // The same holder is told of again until somebody else has the lease.
        if found?.holder != holder { found = (holder, elapsed) }
        guard isTime(elapsed) else { return }
        say(.lease(key), holder, longer: elapsed - (found?.since ?? elapsed), elapsed)
    }

    private func check(_ key: Store.Key, _ holder: Holder?) throws(StoreError) {
        guard let refusal, let held = environment.setting(.held) else { return }
        try session.checkWait(
            for: refusal.kind, key, holder: holder, under: held,
            onlyItself: refusal.isOfItselfAlone)
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

    private func say(
        _ subject: Phrases.Subject, _ holder: Holder?, longer: Duration = .zero,
        isOwn: Bool = false, _ elapsed: Duration
    ) {
        hasSpoken = true
        words.say(
            Phrases.waiting(
                for: subject, holder, longer: longer, isOwn: isOwn, left: limit.map { $0 - elapsed }
            ))
    }
}
