internal import FlockCache

/// The sentences about who has a key, for people.
///
/// One place, so that a claim, a lock and a lease are spoken of alike by every command.
enum Phrases {
    // MARK: Claims

    static func pending(_ key: Store.Key, _ holder: Holder) -> String {
        "\(key) is being done by \(holder)"
    }

    /// For a command that does not wait for the end of a PENDING: tells what can be done where its
    /// owner is dead.
    static func pendingOrDead(_ key: Store.Key, _ holder: Holder) -> String {
        holder.liveness == .dead
            ? "\(key) was claimed by \(holder): claim it to take over" : pending(key, holder)
    }

    static func notBegun(_ key: Store.Key) -> String { "nobody has begun \(key)" }

    static func notRemoved(_ key: Store.Key, _ holder: Holder) -> String {
        "\(key) was left: it is being done by \(holder)"
    }

    static func takenOver(_ key: Store.Key, from former: Holder) -> String {
        "took \(key) over from \(former)"
    }

    static func nothingToGiveUp(_ key: Store.Key) -> String {
        "there was no claim of yours on \(key) to give up"
    }

    /// Where the same claim has published another value before.
    static func keptValue(of key: Store.Key, _ generation: Store.Generation) -> String {
        "'\(key)' is ready already, with another value from the same claim (generation \(generation)); "
            + "that value stays"
    }

    // MARK: Locks and leases

    static func locked(_ key: Store.Key, _ holder: Holder?) -> String {
        holder.map { "\(key) is locked by \($0)" } ?? "\(key) is locked by somebody else"
    }

    static func leased(_ key: Store.Key, _ holder: Holder?) -> String {
        holder.map { "\(key) is leased by \($0)" } ?? "\(key) is leased by somebody else"
    }

    static func ended(_ key: Store.Key, _ holder: Holder?, wasTaken: Bool) -> String {
        guard wasTaken else { return "lease '\(key)' was free" }
        return "released lease '\(key)' by force: it was held by "
            + (holder.map { "\($0)" } ?? "an unknown process, because its record is corrupt")
    }

    static func notInCharge(_ generation: Store.Generation, of key: Store.Key) -> String {
        "generation \(generation) of \(key) is not in charge: its time is over, or another's is"
    }

    // MARK: While a wait goes on

    static func waiting(for key: Store.Key, _ who: String, left: Duration?) -> String {
        let until = left.map { "for \($0.spoken) more" } ?? "for as long as it takes"
        return "waiting for \(key): \(who); waiting \(until)"
    }

    /// - Parameter isOwn: whether it is the process that this command acts for.
    static func atIt(_ holder: Holder?, isOwn: Bool) -> String {
        let who = holder.map { "\($0) is at it" } ?? "nobody has begun"
        return who + (isOwn ? "; that is the calling program itself" : "")
    }

    static func hasLocked(_ holder: Holder?) -> String {
        holder.map { "\($0) has it locked" } ?? "somebody else has it locked"
    }

    static func hasLeased(_ holder: Holder?) -> String {
        holder.map { "\($0) has it leased" } ?? "somebody else has it leased"
    }
}
