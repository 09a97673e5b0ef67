package import SystemCalls

// All that is said about failures, in one place: from the system's errno, and from what was found.

extension StoreError {
    /// A failure of the system.
    init(_ errno: Errno, _ operation: String, path: String? = nil, key: Store.Key? = nil) {
        let (code, advice) = Self.meaning(of: errno)
        self.init(
            code, operation, path: path, key: key, systemError: errno.code,
            reason: errno.message + (advice.map { "; " + $0 } ?? ""))
    }

    private static func meaning(of errno: Errno) -> (Code, advice: String?) {
        switch errno {
        case .noPermission:
            (
                .permissionDenied,
                "this user may not write there: other users may use a store only if it was made so (init --mode 0770; "
                    + "with 0750 its group may only read); compare owner, group and mode (ls -ld) with this process (id), "
                    + "or name another store (--store); where all of that allows it, a sandbox or a security module "
                    + "forbids it"
            )
        case .notPermitted:
            (
                .permissionDenied,
                "it is immutable (lsattr tells), another user's, or a sandbox or a security module "
                    + "forbids it"
            )
        case .readOnly: (.readOnly, "it is mounted read-only; remount it, or name another store")
        case .noSpace, .overQuota:

            (
                .noSpace,
                "make room on the device; in the store flock-cache reap --max-bytes SIZE removes values, and journal "
                    + "trim records"
            )
        case .fileTooBig: (.noSpace, "raise the limit on file sizes (ulimit -f)")
        case .tooManyFiles: (.inputOutput, descriptorAdvice)
        case .noLocks:
            (.inputOutput, "the system's lock table is full, or locks are not served here")
        case .symbolicLink, .notADirectory, .isADirectory, .illegalSeek:
            (.notAStore, "something else was put in its place; nothing was touched")
        default: (.inputOutput, nil)
        }
    }

    package static let descriptorAdvice = "raise the limit on open files (ulimit -n)"

    // MARK: Keys

    static func emptyKey() -> StoreError {
        StoreError(.invalidKey, "use the key", reason: "it is empty; a key has at least one byte")
    }

    static func keyTooLong(_ key: Store.Key) -> StoreError {
        StoreError(
            .invalidKey, "use a key of \(key.bytes.count) bytes",
            reason: key.bytes.count > Limits.key
                ? "a key has at most \(Limits.key) bytes; hash it first"
                : "its name on disk has more than \(Limits.nameOnDisk) bytes: there each '/', '%', blank and "
                    + "byte that is not ASCII takes three; hash it first")
    }

    static func lockKeyTooLong(_ key: Store.Key) -> StoreError {
        StoreError(
            .invalidKey, "lock a key of \(key.bytes.count) bytes",
            reason: "the key of a lock has at most \(Limits.lockKey) bytes; hash it first")
    }

    static func badSlots(_ count: Int) -> StoreError {
        StoreError(
            .invalidKey, "lock with \(count) slots",
            reason: "a lock has 1 to \(Limits.slots) slots")
    }

    static func slotsOfMany(_ key: Store.Key, _ other: Store.Key) -> StoreError {
        StoreError(
            .invalidKey, "lock with slots", key: key,
            reason:
                "slots are of one key, and \(other) was named too; lock them one after the other")
    }

    static func valueTooLarge(_ key: Store.Key) -> StoreError {
        StoreError(
            .noSpace, "store the value of", key: key,
            reason: "a value has at most 1 GiB; store a path or an address instead")
    }

    /// A value comes from outside the store: what is wrong with its file says nothing of the store.
    package static func unreadableValue(
        _ errno: Errno, _ key: Store.Key, _ place: String
    ) -> StoreError {
        StoreError(
            .inputOutput, "read the value of", key: key, systemError: errno.code,
            reason: "\(printable(place)): \(errno.message)"
                + (errno == .tooManyFiles ? "; " + Self.descriptorAdvice : ""))
    }

    // MARK: Counting

    static func notANumber(_ key: Store.Key) -> StoreError {
        StoreError(
            .notANumber, "increment", key: key,
            reason: "its value is not a decimal number of 64 bits; nothing was changed; "
                + "put one there, or remove the key to begin at 0")
    }

    /// - Parameter path: at which it is kept.
    static func damagedNumber(_ key: Store.Key, _ path: String) -> StoreError {
        StoreError(
            .notANumber, "increment", path: path, key: key,
            reason:
                "its record was damaged, and has been set aside there; nothing was counted, and the key is "
                + "absent now: the next increment begins at 0")
    }

    // MARK: Opening

    static func notAStore(_ path: String, _ what: String) -> StoreError {
        StoreError(
            .notAStore, "open the store", path: path,
            reason: "\(what); nothing was touched; name an empty or a new directory")
    }

    static func noMarkedPart(_ path: String, _ part: String) -> StoreError {
        StoreError(
            .notAStore, "use the store", path: path,
            reason: "its directory \(part) is missing, and with it who holds what; "
                + "when no process uses the store, remove all of it; the next use creates it again")
    }

    static func newerFormat(_ path: String, _ version: Int) -> StoreError {
        StoreError(
            .incompatibleFormat, "open the store", path: path,
            reason:
                "it has format \(version), this program knows \(Limits.newestFormat); use a newer one"
        )
    }

    static func replaced(_ path: String) -> StoreError {
        StoreError(
            .notAStore, "use the store", path: path,
            reason: "it was removed while in use, again and again; try again when it is settled")
    }

    static func noProc(_ path: String) -> StoreError {
        StoreError(
            .inputOutput, "use the store", path: path,
            reason: "/proc is missing, which alone tells the boot id and the namespaces by which "
                + "holders are told apart; mount it (mount -t proc proc /proc)")
    }

    // MARK: Changing

    static func stuck(_ path: String, behind process: Int32?, after duration: Duration)
        -> StoreError
    {
        let who =
            process == Process.id
            ? "another thread of this process is in the middle of a change, or lists a large store"
            : process.map {
                "pid \($0) is in the middle of a change; if it is stopped, let it go on "
                    + "(kill -CONT \($0)) or end it"
            }
                ?? "the process in the middle of a change cannot be seen from here: it is another user's, or "
                + "in another container; lslocks, run as root on the host, shows it"
        return StoreError(
            .timedOut, "use the store", path: path,
            reason: "waited \(duration.spoken): \(who)")
    }

    /// A wait for what the same thread or task computes, or keeps a lease for.
    static func waitsForOwn(
        _ kind: String, _ key: Store.Key, _ holder: Holder?
    ) -> StoreError {
        StoreError(
            .wouldDeadlock, "wait for the \(kind)", key: key, holder: holder,
            reason:
                "the call is made inside that \(kind), so it would wait for itself; use the value or "
                + "lease that is there already, or another key")
    }

    static func waitsForItself(
        _ kind: String, _ key: Store.Key, _ holder: Holder?
    ) -> StoreError {
        let who = holder.map { " (\($0))" } ?? ""
        return StoreError(
            .wouldDeadlock, "wait for the \(kind)", key: key, holder: holder,
            reason:
                "this command is run by its holder\(who), so it would wait for itself; ask for the "
                + "\(kind) outside, or use another key")
    }

    static func waitsAgainstOrder(
        _ kind: String, _ key: Store.Key, holding other: String, _ held: Store.Key,
        _ holder: Holder?
    ) -> StoreError {
        let who = holder.map { ", held by \($0)" } ?? ""
        return StoreError(
            .wouldDeadlock, "wait for the \(kind)", key: key, holder: holder,
            reason:
                "this command runs under the \(other) '\(held)'\(who.isEmpty ? "" : "; '\(key)' is\(who.dropFirst())"), and "
                + "processes wait in ascending order of keys only, because others could wait the other way round for "
                + "ever; ask for '\(key)' first, or do not wait (-n)")
    }

    static func wouldGoDown(
        _ key: Store.Key, holding held: Store.Key, of holder: Holder?
    ) -> StoreError {
        let who = holder.map { "is held by \($0), which started this command" }
        let what = who ?? "is held by this thread or task, or by the task that started it"
        // A command has options for it; a program leaves the call out.
        let (anew, unwaited) = holder == nil ? ("", "") : ("use --reentrant, or ", " (-n)")
        return StoreError(
            .wouldDeadlock, "wait for", key: key, holder: holder,
            reason: key == held
                ? "it \(what); it would wait for itself: \(anew)leave the inner lock out"
                : "lock-order violation: '\(held)' \(what), and '\(key)' sorts before it; locks are acquired in "
                    + "ascending key order, so that they cannot deadlock: take both at once, or '\(key)' first, or do "
                    + "not wait\(unwaited)"
        )
    }

    static func lockLost(_ key: Store.Key, _ path: String) -> StoreError {
        StoreError(
            .lockLost, "keep the lock", path: path, key: key,
            reason: "the file was removed or replaced while the lock was held, by a cleaner of old "
                + "files or by hand, and another process may have held the lock at the same time; look at what was done "
                + "under it, and keep cleaners out of the store")
    }

    static func lockWaitEnded(_ key: Store.Key?, _ holder: Holder?) -> StoreError {
        StoreError(
            .timedOut, "lock", key: key, holder: holder, reason: Self.timedOut(heldBy: holder))
    }

    static func timedOut(heldBy holder: Holder?) -> String {
        let age = holder?.knownAge.map { " for \($0.spoken)" } ?? ""
        return "timed out: held\(age) by \(holder.map { $0.name + $0.suffix } ?? "other processes")"
    }

    static func waitEnded(_ key: Store.Key, _ holder: Holder) -> StoreError {
        let age = holder.knownAge.map { " \($0.spoken) ago" } ?? ""
        return StoreError(
            .timedOut, "get the value of", key: key, holder: holder,
            reason: "timed out: claimed\(age) by \(holder.name)\(holder.suffix)")
    }

    static func noGenerationLeft(_ path: String) -> StoreError {
        StoreError(
            .inputOutput, "claim", path: path,
            reason:
                "the generations of this key's shard are used up: a clock was beyond the year 2255, "
                + "or a record was written by hand; use a new store")
    }

    static func unknownOutcome(
        _ operation: String, _ key: Store.Key, _ errno: Errno
    ) -> StoreError {
        StoreError(
            .unknownOutcome, operation, key: key, systemError: errno.code,
            reason: "\(errno.message), after the decisive step; it may have happened: look again")
    }

    static func publishedUnread(_ key: Store.Key, _ error: StoreError?) -> StoreError {
        StoreError(
            .unknownOutcome, "read back", path: error?.path, key: key,
            systemError: error?.systemError,
            reason: "the value was published, but "
                + (error?.reason ?? "it was removed since"))
    }
}

/// Says of a system call what was tried and on what.
@inline(__always)
func attempt<R: ~Copyable>(
    _ operation: @autoclosure () -> String, _ path: @autoclosure () -> String?,
    _ body: () throws(Errno) -> R
) throws(StoreError) -> R {
    do throws(Errno) {
        return try body()
    } catch {
        throw StoreError(error, operation(), path: path())
    }
}
