internal import FlockCache
internal import SystemCalls

/// COMMAND run while a lease is ours.
///
/// COMMAND is told within a second of its lease's being over, also when the machine was suspended meanwhile, and when
/// the device or the server does not answer: `Upkeep`.
struct Tenure {
    private let store: Store
    private let key: Store.Key
    private let grant: LeaseGrant
    private let protection: Protection

    init(
        _ store: Store, _ key: Store.Key, _ grant: LeaseGrant, _ timeToLive: Duration,
        killAfter: Duration
    ) {
        self.store = store
        self.key = key
        self.grant = grant
        let session = store.session
        // Not where a file server would have to be asked.
        let check: (@Sendable () -> Upkeep.Outcome)? =
            if session.isLocal { { session.look(key, grant.generation) } } else { nil }
        let upkeep = Upkeep(
            for: timeToLive, until: grant.deadline,
            overdue: "it expired before it could be renewed", check: check
        ) {
            session.keep(key, grant.generation)
        }
        protection = Protection(upkeep, killAfter: killAfter)
    }

    func run(_ invocation: Invocation) throws(Failure) -> Int32 {
        let ending: ChildProcess.Ending
        do throws(Failure) {
            let variables = try variables(invocation)
            ending = try CommandRun.run(invocation.request(variables), before: grant.deadline) {
                protection.look($0)
            }
        } catch {
            // Where this fails the lease runs out.
            try? store.session.releaseLease(key, grant.generation)
            throw error
        }
        protection.finish(again: false)
        if protection.isStuck {
            store.session.leave()
        } else {
            release(invocation)
        }
        if let loss = protection.loss {
            throw Failure(
                .lost, "lease \(Phrases.quoted(key)) was lost, and COMMAND was ended: \(loss)")
        }
        return invocation.end(as: ending)
    }

    private func variables(_ invocation: Invocation) throws(Failure) -> [[UInt8]] {
        let slot = invocation.has(.leaseSlots) ? Array(String(grant.slot).utf8) : nil
        let held = try failing { () throws(StoreError) in
            try Inherited.adding(
                leaseOf: key, grant.generation, in: store.session,
                to: invocation.environment.setting(.held))
        }
        return try invocation.variables([
            (.key, key.bytes), (.slot, slot), (.held, held),
            (.generation, Array(String(grant.generation).utf8)),
        ])
    }

    private func release(_ invocation: Invocation) {
        if protection.loss == nil, store.session.isStoreElsewhere {
            protection.lose(
                "the store was moved or removed, and another process may have it in another store")
        }
        do throws(StoreError) {
            try store.session.releaseLease(key, grant.generation)
        } catch {
            if error.code == .leaseLost && protection.loss == nil {
                protection.lose(error.description)
            }
            if error.code != .leaseLost { invocation.words.warn(error.description) }
        }
    }
}

extension Session {
    /// Looks whether a COMMAND's lease was ended by force; a renewal then says so.
    fileprivate func look(_ key: Store.Key, _ generation: Store.Generation) -> Upkeep.Outcome {
        do throws(StoreError) {
            return try isLeaseHeld(key, generation) ? .kept : keep(key, generation)
        } catch {
            return .failed(error.description)
        }
    }

    /// Renews a lease for a COMMAND.
    fileprivate func keep(_ key: Store.Key, _ generation: Store.Generation) -> Upkeep.Outcome {
        do throws(StoreError) {
            // A change takes microseconds: what is busy is tried again.
            try renewLease(key, generation, onlyHeld: true, patience: .zero)
            return .kept
        } catch {
            switch error.code {
            case .leaseLost: return .lost(error.description)
            case .timedOut: return .busy
            default: return .failed(error.description)
            }
        }
    }
}
