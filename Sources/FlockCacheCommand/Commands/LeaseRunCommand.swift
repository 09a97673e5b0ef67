internal import FlockCache
internal import SystemCalls

extension Option {
    fileprivate static let killAfter = Option(
        name: "kill-after", value: .duration,
        help: "how long after TERM a COMMAND that lost the lease gets KILL; 5 s")
}

extension Verb {
    static let leaseRun = Verb(
        name: "lease run", summary: "Run a command while it is the one in charge.",
        operands: ["NAME"],
        options: [.timeToLive, .leaseWait, .noWait, .conflictCode, .leaseSlots, .killAfter],
        detail: """
            Acquires the lease, renews it at a third of its time to live, and runs COMMAND, which
            sees FLOCK_CACHE_GENERATION; ends as COMMAND did, and releases the lease then. When the
            lease is lost COMMAND gets TERM, and KILL after --kill-after; exit 76. When this process
            is killed COMMAND is killed too, and the lease runs out.
            Exit 124 when the wait ended (after 300 s, what FLOCK_CACHE_WAIT says, or -w), 75 with -n;
            126 and 127 when COMMAND cannot be run; 125 for failures of its own.
            """,
        example: "flock-cache lease run primary --ttl 30s -w forever -- ./serve",
        runCommand: runLeaseRun)
}

@Sendable private func runLeaseRun(_ invocation: Invocation) throws(Failure) -> Int32 {
    guard let timeToLive = invocation.duration(.timeToLive) else {
        throw .usage("lease run needs --ttl D: for how long the lease lasts when it is not renewed")
    }
    var request = try leaseRequest(invocation)
    request.setHolder(Process.id, programName(invocation.command[0]))
    let store = try invocation.openStore()
    let key = invocation.key()
    let wait = try invocation.waitByDefault()
    switch try acquire(key, request, waiting: wait, in: store, invocation) {
    case .busy(let holder):
        return try invocation.conflict(
            .busy(busy(key, holder), afterWait: wait != nil))
    case .granted(let grant):
        var tenure = Tenure(
            store, key, grant, timeToLive,
            killAfter: invocation.duration(.killAfter) ?? .seconds(5))
        return try tenure.run(invocation)
    }
}

/// COMMAND run while a lease is ours.
private struct Tenure {
    private let store: Store
    private let key: Store.Key
    private let grant: LeaseGrant
    private let timeToLive: Duration
    private let killAfter: Duration
    private var renewal: LeaseRenewal
    /// When the lease is over if it cannot be renewed.
    private var deadline: BootTime
    private var loss: Loss?

    private struct Loss {
        /// When COMMAND is killed; nil when it was.
        var killing: BootTime?
        let reason: String
    }

    init(
        _ store: Store, _ key: Store.Key, _ grant: LeaseGrant, _ timeToLive: Duration,
        killAfter: Duration
    ) {
        self.store = store
        self.key = key
        self.grant = grant
        self.timeToLive = timeToLive
        self.killAfter = killAfter
        renewal = LeaseRenewal(timeToLive)
        deadline = BootTime.now.advanced(by: grant.timeLeft ?? timeToLive)
    }

    mutating func run(_ invocation: Invocation) throws(Failure) -> Int32 {
        let code: Int32
        do throws(Failure) {
            let slot = invocation.has(.leaseSlots) ? Array(String(grant.slot).utf8) : nil
            let variables = try invocation.variables([
                ("FLOCK_CACHE_KEY", key.bytes), ("FLOCK_CACHE_SLOT", slot),
                ("FLOCK_CACHE_GENERATION", Array(String(grant.generation).utf8)),
            ])
            code = try CommandRun.run(invocation.command, variables: variables) { child in
                watch(child)
            }
        } catch {
            // Where this fails the lease runs out.
            try? store.session.releaseLease(key, grant.generation)
            throw error
        }
        if loss == nil, store.session.isStoreElsewhere {
            lose("the store was moved or removed, and another process may have it in another store")
        }
        do throws(StoreError) {
            try store.session.releaseLease(key, grant.generation)
        } catch {
            if error.code == .leaseLost && loss == nil { lose(error.description) }
            if error.code != .leaseLost { Words(invocation).warn(error.description) }
        }
        if let loss { throw Failure(.lost, "the lease \(key) was lost: \(loss.reason)") }
        return code
    }

    /// Renews the lease when it is time, ends COMMAND when it is lost; returns when to look again.
    private mutating func watch(_ child: ChildProcess) -> Duration? {
        if let loss {
            guard let killing = loss.killing else { return nil }
            let left = killing.nanoseconds - BootTime.now.nanoseconds
            if left > 0 { return .nanoseconds(left) }
            child.signal(9)
            self.loss?.killing = nil
            return nil
        }
        if renewal.timeLeft <= .zero { renew() }
        guard loss == nil else {
            child.signal(15)
            return killAfter
        }
        return max(.zero, renewal.timeLeft)
    }

    private mutating func renew() {
        let start = BootTime.now
        do throws(StoreError) {
            // Not for long: signals are passed on by this thread.
            _ = try store.session.renewLease(
                key, grant.generation,
                patience: LeaseRenewal.patience(timeToLive))
            deadline = start.advanced(by: timeToLive)
            renewal.succeeded()
        } catch {
            if error.code == .leaseLost || BootTime.now >= deadline {
                lose(error.description)
            } else {
                renewal.failed()
            }
        }
    }

    private mutating func lose(_ reason: String) {
        loss = Loss(killing: BootTime.now.advanced(by: killAfter), reason: reason)
    }
}
