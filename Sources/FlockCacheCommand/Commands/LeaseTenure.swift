internal import FlockCache
internal import SystemCalls

/// COMMAND run while a lease is ours.
struct Tenure {
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
                (.key, key.bytes), (.slot, slot),
                (.generation, Array(String(grant.generation).utf8)),
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
            if error.code != .leaseLost { invocation.words.warn(error.description) }
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
