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
        name: "store", kind: .path, help: "the store's directory (or FLOCK_CACHE_DIR)")
    static let json = Option(name: "json", help: "one JSON object per result line, and for errors")
    static let quiet = Option(
        name: "quiet", short: "q", help: "no notices on standard error, only errors")
    static let verbose = Option(
        name: "verbose", short: "v", help: "say whose claim it is, and the like")
    static let help = Option(name: "help", short: "h", help: "this text")

    /// Stand with every command, before or after its name.
    static let everywhere = [store, json, quiet, verbose, help]
}

// MARK: Waiting

extension Option {
    static let wait = Option(
        name: "wait", short: "w", kind: .wait, help: "wait at most D for the end of a PENDING")
    static let lockWait = wait.explained("wait at most D for the locks")
    static let leaseWait = wait.explained("wait at most D for the lease")
    static let watchWait = wait.explained("end after D without a change (124)")
    static let noWait = Option(name: "no-wait", short: "n", help: "do not wait")
    static let alsoAbsent = Option(
        name: "also-absent", help: "where nobody has the key, wait for somebody to begin")
}

// MARK: Claims and values

extension Option {
    static let maxAge = Option(
        name: "max-age", kind: .duration, help: "a value older than D does not count")
    static let reapMaxAge = maxAge.explained("also values and damaged records older than D")
    static let staleAfter = Option(
        name: "stale-after", kind: .duration,
        help: "the claim may be taken over after D although its owner lives")
    static let runStaleAfter = staleAfter.explained(
        "the claim may be taken over when it was not renewed for D")
    static let generation = Option(
        name: "generation", kind: .generation, help: "the claim's number, as claim printed it")
    static let leaseGeneration = generation.explained("the lease's number, as acquire printed it")
    static let ifGeneration = Option(
        name: "if-generation", kind: .generation,
        help: "only if the value has generation G")
    static let ifAbsent = Option(
        name: "if-absent", help: "only if the key has no value")
    static let minimum = Option(
        name: "min", kind: .integer, help: "only if the sum is not below A", placeholder: "A")
    static let maximum = Option(
        name: "max", kind: .integer, help: "only if the sum is not above B", placeholder: "B")
    static let owner = Option(
        name: "owner", kind: .owner,
        help: "the process whose claim it is (or FLOCK_CACHE_OWNER)")
    static let file = Option(
        name: "file", kind: .path, help: "the value is the content of PATH; - is standard input")
}

// MARK: Locks and leases

extension Option {
    static let shared = Option(
        name: "shared", short: "s", help: "share the locks with others who ask for them shared")
    static let slots = Option(
        name: "slots", kind: .count,
        help: "up to N holders of one KEY; COMMAND sees FLOCK_CACHE_SLOT, 0 to N-1")
    static let leaseSlots = slots.explained(
        "up to N holders at once; prints the SLOT too, 0 to N-1")
    static let leaseSlot = Option(
        name: "slot", kind: .count, help: "which slot, where the lease has several")
    static let force = Option(
        name: "force", help: "end the lease whoever has it, and say whose it was")
    static let reentrant = Option(
        name: "reentrant", help: "do not take KEYs again that the caller holds")
    static let inPlace = Option(
        name: "no-fork", short: "F",
        help: "execute COMMAND in place of flock-cache: the locks live as long as it")
    static let timeToLive = Option(name: "ttl", kind: .duration, help: "the lease's time to live")
    static let neededTimeToLive = timeToLive.explained(timeToLive.help, isNeeded: true)
    /// Of another kind than the owner of a claim: a lease always has one.
    static let leaseOwner = Option(
        name: "owner", kind: .process, help: "the lease ends with this process")
}

// MARK: Commands that run a COMMAND

extension Option {
    static let conflictCode = Option(
        name: "conflict-exit-code", short: "E", kind: .exitCode,
        help: "exit with CODE in place of 75 and 124")
    static let dieWithParent = Option(
        name: "die-with-parent", help: "end, and COMMAND too, when the parent ends")
    static let outputWait = Option(
        name: "output-wait", kind: .wait, help: "wait D for the end of COMMAND's output (10s)")
    static let killAfter = Option(
        name: "kill-after", kind: .duration,
        help: "how long after TERM a COMMAND that lost the lease gets KILL; 5 s")
}

// MARK: Housekeeping

extension Option {
    static let pendingToo = Option(name: "pending", help: "remove claims too")
    static let onlyPending = pendingToo.explained("claims only")
    static let onlyReady = Option(name: "ready", help: "values only")
    static let onlyDamaged = Option(
        name: "damaged", help: "damaged records that are kept for inspection")
    static let prefix = Option(
        name: "prefix", kind: .bytes, help: "only keys that begin with TEXT")
    static let nulEnded = Option(name: "null", short: "0", help: "raw keys only, each ended by NUL")
    static let nulPairs = nulEnded.explained("read KEYs and VALUEs, each ended by NUL")
    static let prometheus = Option(
        name: "prometheus", help: "as metrics, for the node exporter's text-file collector")
    static let again = Option(
        name: "watch", help: "again each second, in place on a terminal, until interrupted")
    static let assumeDeadAfter = Option(
        name: "assume-dead-after", kind: .duration,
        help: "also claims, and leases without a time to live, of unknown holders older than D")
    static let maxEntries = Option(
        name: "max-entries", kind: .count, help: "keep the N most recently used values")
    static let maxBytes = Option(
        name: "max-bytes", kind: .size, help: "keep the most recently used values within SIZE")
    static let dryRun = Option(name: "dry-run", help: "only say what would be removed")
    static let mode = Option(
        name: "mode", kind: .mode, help: "0700 (the default), 0750 or 0770 for the group as well")
    static let durable = Option(
        name: "durable", help: "what is acknowledged survives a power cut")
    static let journal = Option(
        name: "journal", help: "keep a journal of all changes, for watch")
}

// MARK: Journals

extension Option {
    static let recordFile = file.explained(
        "the record is the content of PATH; - is standard input")
    static let lines = Option(
        name: "lines", help: "each line of the input is a record, without its newline")
    static let from = Option(
        name: "from", kind: .count, help: "begin with record N (default: the oldest)")
    static let changesFrom = from.explained("begin with change N (default: the next one)")
    static let follow = Option(
        name: "follow", help: "go on as records come, until interrupted")
    static let followWait = wait.explained("with --follow: end after D without a record")
    static let nulRecords = nulEnded.explained("raw records only, each ended by NUL")
    static let changeWait = wait.explained(
        "wait at most D behind a stopped process (10s at most)")
    static let keep = Option(name: "keep", kind: .count, help: "keep the newest N records")
    static let keepAge = maxAge.explained("keep records younger than D")
    static let keepBytes = maxBytes.explained("keep the newest SIZE bytes")
}

/// What holds where an option is not given.
enum OptionDefault {
    /// For the commands that wait unless told otherwise, where FLOCK_CACHE_WAIT is not set either.
    static let wait = Wait.upTo(.seconds(300))
    static let outputWait = Wait.upTo(.seconds(10))
    static let killAfter = Duration.seconds(5)
}
