internal import FlockCache
internal import SystemCalls

/// The sentences about who has a key, for people.
///
/// One place, so that a claim, a lock and a lease are spoken of alike by every command.
enum Phrases {
    /// A key as it was typed, where it can be: else percent-encoded, as `list` has it.
    static func quoted(_ key: Store.Key) -> String {
        String(validating: key.bytes, as: UTF8.self).map { "'\(printable($0))'" } ?? "'\(key)'"
    }

    /// What is asked for, by its kind.
    enum Subject {
        case key(Store.Key)
        case lock(Store.Key)
        case slots(Store.Key, Int)
        case lease(Store.Key)

        var key: Store.Key {
            switch self {
            case .key(let key), .lock(let key), .slots(let key, _), .lease(let key): key
            }
        }

        var text: String {
            switch self {
            case .key(let key): quoted(key)
            case .lock(let key), .slots(let key, _): "lock \(quoted(key))"
            case .lease(let key): "lease \(quoted(key))"
            }
        }
    }

    // MARK: What another process has

    /// That it is busy, at once or at the end of a wait.
    ///
    /// - Parameter limit: how long was waited; nil for a command that does not wait.
    static func busy(
        _ subject: Subject, _ holder: Holder?, isOwn: Bool = false, after limit: Duration? = nil
    ) -> String {
        let what = holding(subject, holder) + own(isOwn)
        guard let limit else { return "\(subject.text) is busy: \(what)" }
        return "timed out after \(limit.exactly) waiting for \(subject.text): \(what)"
    }

    /// "held for 1.0 s by pid 7162 (deploy)".
    ///
    /// - Parameter longer: for how long the holder has been known, where its age is of the time when it was found.
    static func holding(
        _ subject: Subject, _ holder: Holder?, longer: Duration = .zero
    ) -> String {
        guard let holder else {
            if case .key = subject { return "no process has claimed it" }
            if case .lease = subject { return "other processes wait for it" }
            return "held by a process that cannot be identified"
        }
        let end =
            RunningHolder(holder)?.isStopped == true
            ? ", which is stopped" : suffix(of: holder.liveness)
        if case .key = subject {
            let age = holder.isAgeKnown ? " \((holder.age + longer).spoken) ago" : ""
            return "claimed\(age) by \(name(of: holder))\(end)"
        }
        let age = holder.isAgeKnown ? " for \((holder.age + longer).spoken)" : ""
        if case .slots(_, let count) = subject, count > 1 {
            return
                "all \(count) slots are held or waited for: one is held\(age) by \(name(of: holder))\(end)"
        }
        return "held\(age) by \(name(of: holder))\(end)"
    }

    /// With the COMMAND that it runs, where that is to be seen.
    static func name(of holder: Holder) -> String { holder.named(program(of: holder)) }

    private static func program(of holder: Holder) -> String? {
        RunningHolder(holder)?.command ?? holder.command
    }

    /// The same with its age, for a table.
    static func description(of holder: Holder) -> String {
        holder.described(naming: program(of: holder))
    }

    private static func suffix(of liveness: Holder.Liveness) -> String {
        switch liveness {
        case .alive: ""
        case .dead: ", which has exited"
        case .unknown: ", liveness unknown"
        @unknown default: ""
        }
    }

    /// For a command that does not wait for the end of a pending claim: tells what can be done where its owner has
    /// exited.
    static func pending(_ key: Store.Key, _ holder: Holder) -> String {
        let busy = busy(.key(key), holder)
        switch holder.liveness {
        case .dead: return busy + "; 'flock-cache claim' takes it over"
        case .unknown where holder.processID != nil:
            return busy
                + (holder.host.map { ": it is in another container, or on \($0); " }
                    ?? ": it is in another container or on another machine; ")
                + "'flock-cache reap --assume-dead-after D' ends such claims"
        default: return busy
        }
    }

    static func notRemoved(_ key: Store.Key, _ holder: Holder) -> String {
        pending(key, holder) + "; it was not removed (--pending removes claims)"
    }

    static func notChanged(_ key: Store.Key, _ holder: Holder) -> String {
        pending(key, holder) + "; nothing was changed"
    }

    /// That who had the claim is not ended by its removal.
    ///
    /// - Parameter isOwn: whether that is the program that calls.
    static func removedClaim(_ key: Store.Key, _ holder: Holder, isOwn: Bool) -> String {
        let isStopped = RunningHolder(holder)?.isStopped == true
        let what = isStopped ? "is stopped, and can be continued" : "goes on"
        // No other signal ends a process that is stopped.
        let signal = isStopped ? "-KILL " : ""
        if isOwn { return "removed the claim of \(quoted(key)), which this program had" }
        return "removed the claim of \(quoted(key)), but \(holder.name) \(what)"
            + (holder.processID.map { "; to end it: kill \(signal)\($0)" } ?? "")
    }

    static func takenOver(_ key: Store.Key, from former: Holder) -> String {
        former.liveness == .dead && former.processID != nil
            ? "took over \(quoted(key)): its owner, \(former.name), has exited"
            : "took over \(quoted(key)) from \(former.name)"
                + (former.isAgeKnown ? ", which claimed it \(former.age.spoken) ago" : "")
    }

    static func nothingToGiveUp(_ key: Store.Key) -> String {
        "nothing to give up: \(quoted(key)) is not claimed by this program"
    }

    /// Where the same claim has published another value before.
    static func keptValue(of key: Store.Key, _ generation: Store.Generation) -> String {
        "\(quoted(key)) is ready already, with another value from the same claim (generation \(generation)); "
            + "that value stays"
    }

    static func ended(_ key: Store.Key, _ holder: Holder?, wasTaken: Bool) -> String {
        guard wasTaken else { return "lease \(quoted(key)) was free" }
        return "released lease \(quoted(key)) by force: it was held by "
            + (holder.map { "\($0)" } ?? "an unknown process, because its record is corrupt")
    }

    static func notCurrent(_ generation: Store.Generation, of key: Store.Key) -> String {
        "generation \(generation) of lease \(quoted(key)) is not current: it expired, was released or was "
            + "replaced"
    }

    // MARK: While a wait goes on

    /// - Parameter isOwn: whether the holder is the process that this command acts for.
    static func waiting(
        for subject: Subject, _ holder: Holder?, longer: Duration = .zero, isOwn: Bool = false,
        left: Duration?
    ) -> String {
        let what = holding(subject, holder, longer: longer)
        guard let left else {
            return "waiting without limit for \(subject.text), \(what)\(own(isOwn))"
        }
        return "waiting for \(subject.text), \(what)\(own(isOwn)); giving up in \(left.spoken)"
    }

    private static func own(_ isOwn: Bool) -> String {
        isOwn ? " (that is the calling program itself)" : ""
    }
}

extension Duration {
    /// The limit of a wait, as exactly as it was given: "500 ms", "1.5 s", "5 min".
    var exactly: String {
        let milliseconds = clampedNanoseconds / 1_000_000
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        if milliseconds % 60_000 == 0, milliseconds < 3_600_000 * 48 {
            return milliseconds % 3_600_000 == 0
                ? "\(milliseconds / 3_600_000) h" : "\(milliseconds / 60_000) min"
        }
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : spoken
    }
}
