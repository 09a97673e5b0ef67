/// What stands with a name.
struct Option: Sendable {
    /// Without the hyphens.
    let name: String
    var short: Character?
    /// nil: it stands alone.
    var kind: OptionKind?
    let help: String
    /// What stands for its value in the help, where that is not what stands for all of its kind.
    var placeholder: String?
    /// Whether the command cannot do without it.
    var isNeeded = false

    /// What stands for its value in the help; nil where it stands alone.
    var valueName: String? { kind.map { placeholder ?? $0.placeholder } }

    var spelling: String {
        let long = "--" + name + (valueName.map { " " + $0 } ?? "")
        return short.map { "-\($0), \(long)" } ?? "    \(long)"
    }

    /// The same option where its help says something else.
    fileprivate func explained(_ help: String, isNeeded: Bool = false) -> Option {
        Option(name: name, short: short, kind: kind, help: help, isNeeded: isNeeded)
    }
}

// Every option of every command. What is said of one stands here alone: its name, its letter, the
// kind of its value, its help, and what holds where it is not given.

// MARK: Of every command

extension Option {
    static let store = Option(
        name: "store", kind: .path,
        help: "the directory of the store (default: FLOCK_CACHE_DIR, else the user's cache)")
    static let json = Option(name: "json", help: "print one JSON object per result, and per error")
    static let quiet = Option(
        name: "quiet", short: "q", help: "print errors only, no notices, on standard error")
    static let verbose = Option(
        name: "verbose", short: "v", help: "say which store is used and why, and more")
    static let help = Option(name: "help", short: "h", help: "print this help")

    /// Stand with every command, before or after its name.
    static let everywhere = [store, json, quiet, verbose, help]

    /// Stands before a command's name only, and in its place.
    static let version = Option(name: "version", short: "V", help: "print the version")
}

// MARK: Waiting

extension Option {
    static let wait = Option(
        name: "wait", short: "w", kind: .wait,
        help: "wait at most D for a pending claim (default: 0s)")
    static let runWait = wait.explained(
        "wait at most D for another process's COMMAND (default: 300s)")
    static let valueWait = wait.explained("wait at most D for the value (default: 300s)")
    static let lockWait = wait.explained("wait at most D for the locks (default: 300s)")
    static let leaseWait = wait.explained("wait at most D for the lease (default: 0s)")
    static let leaseRunWait = wait.explained("wait at most D for the lease (default: 300s)")
    static let watchWait = wait.explained("exit after D without a change (default: forever)")
    static let noWait = Option(name: "no-wait", short: "n", help: "do not wait; the same as -w 0")
    static let alsoAbsent = Option(
        name: "also-absent", help: "wait also for a key that no process has claimed yet")
}

// MARK: Claims and values

extension Option {
    static let maxAge = Option(
        name: "max-age", kind: .duration, help: "ignore a value older than D (default: none)")
    static let reapMaxAge = maxAge.explained("remove values and quarantined records older than D")
    static let staleAfter = Option(
        name: "stale-after", kind: .duration,
        help: "allow a takeover after D although the owner is running")
    static let runStaleAfter = staleAfter.explained(
        "let others take over when this process has not renewed the claim for D")
    static let generation = Option(
        name: "generation", kind: .generation, help: "the claim's generation, as claim printed it")
    static let leaseGeneration = generation.explained(
        "the lease's generation, as acquire printed it")
    static let neededGeneration = generation.explained(generation.help, isNeeded: true)
    static let neededLeaseGeneration = generation.explained(
        leaseGeneration.help, isNeeded: true)
    static let ifGeneration = Option(
        name: "if-generation", kind: .generation,
        help: "set only if the value has generation G")
    static let ifAbsent = Option(
        name: "if-absent", help: "set only if the key has no value")
    static let minimum = Option(
        name: "min", kind: .integer, help: "add only if the sum is at least A", placeholder: "A")
    static let maximum = Option(
        name: "max", kind: .integer, help: "add only if the sum is at most B", placeholder: "B")
    static let owner = Option(
        name: "owner", kind: .owner,
        help: "the owner of the claim (default: FLOCK_CACHE_OWNER, else the caller)")
    static let file = Option(
        name: "file", kind: .path, help: "read the value from PATH; - is standard input")
}

// MARK: Locks and leases

extension Option {
    static let shared = Option(
        name: "shared", short: "s", help: "hold the locks shared (default: exclusive)")
    static let slots = Option(
        name: "slots", kind: .count,
        help: "allow N holders of one KEY; COMMAND sees FLOCK_CACHE_SLOT")
    static let leaseSlots = slots.explained(
        "allow N holders; the slot, 0 to N-1, is printed behind the generation")
    static let leaseRunSlots = slots.explained("allow N holders; COMMAND sees FLOCK_CACHE_SLOT")
    static let leaseSlot = Option(
        name: "slot", kind: .count, help: "the slot to end, where several are taken")
    static let force = Option(
        name: "force", help: "end the lease of any process")
    static let reentrant = Option(
        name: "reentrant", help: "skip KEYs that a calling flock-cache holds")
    static let inPlace = Option(
        name: "no-fork", short: "F",
        help: "execute COMMAND in place of flock-cache")
    static let timeToLive = Option(
        name: "ttl", kind: .duration, help: "the time to live of the lease")
    static let neededTimeToLive = timeToLive.explained(timeToLive.help, isNeeded: true)
    /// Of another kind than the owner of a claim: a lease always has one.
    static let leaseOwner = Option(
        name: "owner", kind: .process, help: "release the lease when process PID exits")
}

// MARK: Commands that run a COMMAND

extension Option {
    static let conflictCode = Option(
        name: "conflict-exit-code", short: "E", kind: .exitCode,
        help: "if busy or timed out, exit with CODE and no message")
    static let dieWithParent = Option(
        name: "die-with-parent", help: "exit, and end COMMAND, when the parent exits")
    static let outputWait = Option(
        name: "output-wait", kind: .wait,
        help: "wait D for COMMAND's children to close its output (default: 10s)")
    static let killAfter = Option(
        name: "kill-after", kind: .duration,
        help: "after a loss, send KILL D after TERM (default: 5s)")
    static let fallback = Option(
        name: "fallback", help: "run COMMAND uncached if the store cannot be used")
}

// MARK: Housekeeping

extension Option {
    static let pendingToo = Option(name: "pending", help: "remove pending claims too")
    static let onlyPending = pendingToo.explained("list claims only")
    static let onlyReady = Option(name: "ready", help: "list values only")
    static let onlyDamaged = Option(
        name: "damaged", help: "list quarantined (corrupt) records only")
    static let prefix = Option(
        name: "prefix", kind: .bytes, help: "keep to keys that begin with TEXT")
    static let nulEnded = Option(
        name: "null", short: "0", help: "print raw keys only, each ended by NUL")
    static let nulPairs = nulEnded.explained("read KEYs and VALUEs, each ended by NUL")
    static let prometheus = Option(
        name: "prometheus", help: "print metrics for the node exporter's text-file collector")
    static let again = Option(
        name: "watch", help: "refresh every second until interrupted")
    static let assumeDeadAfter = Option(
        name: "assume-dead-after", kind: .duration,
        help: "remove claims and leases older than D whose holder cannot be seen from here")
    static let maxEntries = Option(
        name: "max-entries", kind: .count, help: "keep the N most recently used values")
    static let maxBytes = Option(
        name: "max-bytes", kind: .size, help: "keep the most recently used values within SIZE bytes"
    )
    static let dryRun = Option(
        name: "dry-run", help: "print what would be removed, and remove nothing")
    static let mode = Option(
        name: "mode", kind: .mode, help: "permissions: 0700, 0750 or 0770 (default: 0700)")
    static let durable = Option(
        name: "durable", help: "synchronise every change, so that it survives a power cut")
    static let journal = Option(
        name: "journal", help: "record all changes, for watch")
}

// MARK: Journals

extension Option {
    static let recordFile = file.explained(
        "read the record from PATH; - is standard input (the default)")
    static let lines = Option(
        name: "lines", help: "append each line of the input as a record")
    static let from = Option(
        name: "from", kind: .count, help: "start with record N (default: the oldest kept)")
    static let changesFrom = from.explained("start with change N (default: the next change)")
    static let follow = Option(
        name: "follow", help: "continue with new records until interrupted")
    static let followWait = wait.explained(
        "with --follow, exit after D without a record (default: forever)")
    static let nulRecords = nulEnded.explained("print raw records only, each ended by NUL")
    static let changeWait = wait.explained(
        "wait at most D where a stopped process blocks it (default: 10s)")
    static let keep = Option(name: "keep", kind: .count, help: "keep the newest N records")
    static let keepAge = maxAge.explained("keep records younger than D")
    static let keepBytes = maxBytes.explained("keep the newest SIZE bytes")
}

// MARK: Inspecting

extension Option {
    static let encoded = Option(
        name: "encoded", help: "take keys and names percent-encoded, as list prints them")
    static let serve = Option(
        name: "serve", help: "wait for doctor --meet on another host, and try out both")
    static let meet = Option(
        name: "meet", help: "try out this host and the one of doctor --serve")
    static let meetingWait = wait.explained("wait at most D for the other host (default: 300s)")
    static let repair = Option(
        name: "repair", help: "recount, remove debris, quarantine corrupt records")
}

/// What holds where an option is not given.
enum OptionDefault {
    /// For the commands that wait unless told otherwise, where FLOCK_CACHE_WAIT is not set either.
    static let wait = Wait.upTo(.seconds(300))
    static let outputWait = Wait.upTo(.seconds(10))
    static let killAfter = Duration.seconds(5)
}
