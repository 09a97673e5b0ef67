internal import FlockCache
internal import SystemCalls

/// COMMAND run while a lease is ours.
///
/// COMMAND is told within a second of its lease's being over, also when the machine was suspended meanwhile: sleeps
/// stand still through a suspend and the clock of leases does not, so none is longer than that. What the clock says is
/// looked at before the lease is renewed: a renewal would succeed where nobody else has asked for the lease meanwhile, and
/// hide that COMMAND ran unprotected.
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
    /// Why the last renewal did not succeed.
    private var lastFailure: String?

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
        deadline = grant.deadline
    }

    mutating func run(_ invocation: Invocation) throws(Failure) -> Int32 {
        let ending: ChildProcess.Ending
        do throws(Failure) {
            let slot = invocation.has(.leaseSlots) ? Array(String(grant.slot).utf8) : nil
            let held = try failing { () throws(StoreError) in
                try Inherited.adding(
                    leaseOf: key, grant.generation, in: store.session,
                    to: invocation.environment.setting(.held))
            }
            let variables = try invocation.variables([
                (.key, key.bytes), (.slot, slot), (.held, held),
                (.generation, Array(String(grant.generation).utf8)),
            ])
            ending = try CommandRun.run(invocation.request(variables), before: deadline) { relay in
                watch(relay)
            }
        } catch {
            // Where this fails the lease runs out.
            try? store.session.releaseLease(key, grant.generation)
            throw error
        }
        if loss == nil, BootTime.now >= deadline {
            lose("it expired before COMMAND had ended")
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
        return invocation.end(as: ending)
    }

    /// Renews the lease when it is time, ends COMMAND when it is lost; returns when to look again.
    private mutating func watch(_ relay: SignalRelay) -> Duration? {
        if let loss {
            guard let killing = loss.killing else { return nil }
            let left = killing.nanoseconds - BootTime.now.nanoseconds
            if left > 0 { return min(.nanoseconds(left), Self.longestSleep) }
            relay.send(.kills)
            self.loss?.killing = nil
            return nil
        }
        if BootTime.now >= deadline {
            lose("it expired before it could be renewed\(lastFailure.map { ": \($0)" } ?? "")")
        } else if renewal.timeLeft <= .zero {
            renew()
        }
        guard loss == nil else {
            relay.send(.terminates)
            return min(killAfter, Self.longestSleep)
        }
        let left = Duration.nanoseconds(deadline.nanoseconds - BootTime.now.nanoseconds)
        return max(.zero, min(renewal.timeLeft, left, Self.longestSleep))
    }

    private static let longestSleep = Duration.seconds(1)

    private mutating func renew() {
        let start = BootTime.now
        do throws(StoreError) {
            // Waits for nobody: signals are passed on by this thread, and it is what sees the lease's end.
            _ = try store.session.renewLease(
                key, grant.generation, onlyHeld: true, patience: .zero)
            deadline = start.advanced(by: timeToLive)
            lastFailure = nil
            renewal.succeeded()
        } catch {
            lastFailure = error.description
            switch error.code {
            case .leaseLost: lose(error.description)
            case .timedOut: renewal.wasBusy()
            default: renewal.failed()
            }
        }
    }

    private mutating func lose(_ reason: String) {
        loss = Loss(killing: BootTime.now.advanced(by: killAfter), reason: reason)
    }
}
