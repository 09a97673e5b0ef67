internal import SystemCalls

// What is said of claims and leases that are another process's, or gone.

extension StoreError {
    /// What a key has where a claim that was named is not there.
    enum ClaimNow {
        case absent
        case claimed(Store.Generation, Holder)
        case ready(Store.Generation)
    }

    /// - Parameter asked: the generation that was named; nil where the claim was to be the caller's.
    static func claimLost(
        _ operation: String, _ key: Store.Key, asked: Store.Generation?, now: ClaimNow
    ) -> StoreError {
        var holder: Holder?
        if case .claimed(_, let found) = now { holder = found }
        let reason =
            asked.map { Self.lost($0, now) }
            ?? {
                switch now {
                case .absent:
                    "the key has neither a claim nor a value; claim it first"
                case .claimed(let generation, let holder):
                    "it is claimed by \(holder), with generation \(generation), and not by the program that calls; "
                        + "if its own claim was taken over, discard the result; if another program claimed the key for it, "
                        + "name the generation that 'claim' printed there"
                case .ready(let generation):
                    "the claim was lost: the key is ready from another claim, with generation "
                        + "\(generation)"
                }
            }()
        return StoreError(
            .claimLost, operation, key: key, holder: holder,
            reason: reason + "; nothing was changed")
    }

    private static func lost(_ asked: Store.Generation, _ now: ClaimNow) -> String {
        switch now {
        case .absent:
            "the key has neither a claim nor a value: the claim of generation \(asked) was abandoned, "
                + "removed or reaped, or there was none; claim the key again"
        case .claimed(let found, let holder):
            "it has generation \(found), not \(asked): "
                + (found > asked ? "claimed since by \(holder)" : "claimed by \(holder)")
        case .ready(let found) where found == asked:
            "the claim of generation \(asked) has ended: its value is published"
        case .ready(let found):
            "it has generation \(found), not \(asked): "
                + (found > asked
                    ? "it was claimed again since, and that claim has published its value"
                    : "that value is ready, and there is no claim")
        }
    }

    static func claimLost(_ operation: String, _ key: Store.Key, holder: Holder?) -> StoreError {
        StoreError(
            .claimLost, operation, key: key, holder: holder,
            reason: holder.map { "the claim was lost: \($0) has it" }
                ?? "the claim was lost: another process has claimed the key since; nothing was changed"
        )
    }

    /// A claim that the next to ask takes over, whatever its time.
    static func claimOfDead(
        _ operation: String, _ key: Store.Key, _ holder: Holder
    ) -> StoreError {
        StoreError(
            .claimLost, operation, key: key, holder: holder,
            reason:
                "its owner has exited (\(holder)), so the next process that claims the key takes it over; "
                + "nothing was changed")
    }

    static func claimOfAnotherPlace(_ operation: String, _ key: Store.Key) -> StoreError {
        StoreError(
            .claimLost, operation, key: key,
            reason:
                "it was claimed by a process of another machine, or of a container with a clock of its "
                + "own, and is renewed there; nothing was changed")
    }

    /// A store that other processes find at its path no longer.
    static func storeMoved(
        _ operation: String, _ key: Store.Key, _ path: String
    ) -> StoreError {
        StoreError(
            .claimLost, operation, path: path, key: key,
            reason:
                "the store was moved or removed since the key was claimed, so no other process would find "
                + "the value; nothing was published; leave a store where it is while it is used")
    }

    static func storeMovedMeanwhile(
        _ operation: String, _ key: Store.Key, _ path: String
    ) -> StoreError {
        StoreError(
            .notAStore, operation, path: path, key: key,
            reason:
                "the store was moved or removed while the value was read, so no other process would find it; "
                + "nothing was set; try again, and leave a store where it is while it is used")
    }

    private static let takenBack =
        "the server has taken this host's locks back: it was out of contact, or another host has the same name "
        + "(nfs4_unique_id)"

    static func lockTakenBack(_ key: Store.Key, _ path: String) -> StoreError {
        StoreError(
            .lockLost, "keep the lock", path: path, key: key, systemError: Errno.inputOutput.code,
            reason: takenBack
                + "; another process may have held the lock at the same time: look at what was done under it"
        )
    }

    static func sessionTakenBack(_ path: String) -> StoreError {
        StoreError(
            .lockLost, "keep the session", path: path, systemError: Errno.inputOutput.code,
            reason: takenBack + "; its claims are taken over")
    }

    /// A call that the server refuses to a host whose locks it has taken back.
    static func refusedWithoutLocks(_ operation: String, _ path: String) -> StoreError {
        StoreError(
            .inputOutput, operation, path: path, systemError: Errno.inputOutput.code,
            reason: "\(Errno.inputOutput.message); on NFS: \(takenBack); try again")
    }

    static func lockLostWithStore(_ key: Store.Key, _ path: String) -> StoreError {
        StoreError(
            .lockLost, "keep the lock", path: path, key: key,
            reason:
                "the store was moved or removed while the lock was held, and another process may have "
                + "held the lock at the same time in another store; look at what was done under it, and "
                + "leave a store where it is while it is used")
    }
}
