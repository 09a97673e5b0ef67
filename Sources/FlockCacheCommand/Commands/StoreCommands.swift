internal import FlockCache
internal import SystemCalls

extension Option {
    fileprivate static let pendingToo = Option(name: "pending", help: "remove claims too")
    fileprivate static let onlyPending = Option(name: "pending", help: "claims only")
    fileprivate static let onlyReady = Option(name: "ready", help: "values only")
    fileprivate static let onlyDamaged = Option(
        name: "damaged", help: "damaged records that are kept for inspection")
    fileprivate static let prefix = Option(
        name: "prefix", value: .bytes, help: "only keys that begin with TEXT")
    fileprivate static let mode = Option(
        name: "mode", value: .mode, help: "0700 (the default), 0750 or 0770 for the group as well")
    fileprivate static let durable = Option(
        name: "durable", help: "what is acknowledged survives a power cut")
    fileprivate static let assumeDeadAfter = Option(
        name: "assume-dead-after", value: .duration,
        help: "also claims of unknown holders older than D")
    fileprivate static let reapMaxAge = Option(
        name: "max-age", value: .duration, help: "also values and damaged records older than D")
    fileprivate static let maxEntries = Option(
        name: "max-entries", value: .count, help: "keep the N most recently used values")
    fileprivate static let maxBytes = Option(
        name: "max-bytes", value: .size, help: "keep the most recently used values within SIZE")
    fileprivate static let dryRun = Option(name: "dry-run", help: "only say what would be removed")
}

extension Verb {
    static let get = Verb(
        name: "get", summary: "Print the value of a key.", operands: ["KEY"],
        options: [.maxAge],
        detail: """
            Exit 0 with the value; 1 when it is absent, or older than --max-age; 75 when it is
            being produced; 65 once when it was damaged: then it is set aside, and absent.
            """,
        example: "flock-cache get -- \"$hash\"",
        run: runGet)

    static let remove = Verb(
        name: "remove", summary: "Delete the values of keys.",
        operands: ["KEY…"], options: [.pendingToo],
        detail: """
            Exit 0, also for keys that are absent. 75 when one is being produced, which is then
            left as it is; --pending removes claims too.
            """,
        example: "flock-cache remove -- \"$hash\"",
        run: runRemove)

    static let list = Verb(
        name: "list", summary: "List the entries.", operands: [],
        options: [.onlyPending, .onlyReady, .onlyDamaged, .prefix, .nulEnded],
        detail: """
            A line an entry: STATE KEY GENERATION AGE-SECONDS SIZE-OR-HOLDER, parted by tabs.
            STATE is pending or ready; keys are percent-encoded as on disk. A value that is being
            computed anew stands there as both. --damaged: what was set aside, STATE damaged, and no
            entry; its key may be cut. What cannot be read is named, and the exit code tells.
            """,
        example: "flock-cache list --ready -0 | xargs -0 flock-cache remove --",
        run: runList)

    static let reap = Verb(
        name: "reap", summary: "Remove what is stale, and on request what is old.", operands: [],
        options: [.assumeDeadAfter, .reapMaxAge, .maxEntries, .maxBytes, .dryRun],
        detail: """
            A line per removed entry: KEY REASON, parted by a tab; nothing when nothing was.
            Reasons: dead-process dead-session rebooted expired assumed-dead torn too-old evicted.
            What cannot be removed is named, the rest done, and the exit code tells.
            Safe at any time, also twice at once: put it into a crontab.
            """,
        example: "flock-cache reap --max-age 30d --max-bytes 2G",
        run: runReap)

    static let initialize = Verb(
        name: "init", summary: "Create a store with settings of its own.", operands: [],
        options: [.mode, .durable],
        detail: """
            Needed only for settings: a store is otherwise created by its first use.
            Exit 0 when it is there with these settings, 73 when it has others.
            """,
        example: "flock-cache --store /var/cache/builds init --mode 0770",
        run: runInit)
}

@Sendable private func runGet(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let maxAge = invocation.duration(.maxAge)
    let outcome = try failing { () throws(StoreError) in
        try store.session.get(key, maxAge: maxAge)
    }
    switch outcome {
    case .ready(let ready):
        try report(ready, of: key, invocation)
        return .yes
    case .absent: return .no
    case .damaged: return .damaged
    case .pending(let holder):
        Words(invocation).say(
            holder.liveness == .dead
                ? "\(key) was claimed by \(holder): claim it to take over"
                : "\(key) is being done by \(holder)")
        return .notNow
    }
}

@Sendable private func runRemove(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let evenPending = invocation.has(.pendingToo)
    var code = ExitCode.yes
    for index in invocation.operands.indices {
        let key = invocation.key(index)
        let outcome = try failing { () throws(StoreError) in
            try store.session.remove(key, evenPending: evenPending)
        }
        Process.unblockTermination()
        if case .pending(let holder) = outcome {
            Words(invocation).say("\(key) was left: it is being done by \(holder)")
            code = .notNow
        }
    }
    return code
}

@Sendable private func runList(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.has(.onlyDamaged) { return try runListDamaged(invocation) }
    let store = try invocation.openStore()
    let filter: Store.Filter =
        switch (invocation.has(.onlyPending), invocation.has(.onlyReady)) {
        case (true, false): .pending
        case (false, true): .ready
        default: .all
        }
    let prefix = invocation.raw(.prefix).map { Store.Key($0) }
    var results = Results(invocation.environment)
    var entries = try failing { () throws(StoreError) in
        try store.entries(filter, prefix: prefix)
    }
    var former: Store.Key?
    func next() throws(Failure) -> Store.Summary? {
        do throws(StoreError) {
            return try entries.next()
        } catch {
            try results.flush()  // what was found so far was found
            throw Failure(error)
        }
    }
    while let entry = try next() {
        if invocation.has(.nulEnded) {
            // A key that is listed as both is one key.
            if former != entry.key { try results.bytes(entry.key.bytes + [0]) }
            former = entry.key
        } else if invocation.has(.json) {
            try results.line(JSON.line(members(of: entry)))
        } else {
            try results.line(line(of: entry))
        }
    }
    try results.flush()
    return .yes
}

private func runListDamaged(_ invocation: Invocation) throws(Failure) -> ExitCode {
    guard !invocation.has(.onlyPending), !invocation.has(.onlyReady), !invocation.has(.nulEnded)
    else { throw .usage("--damaged goes with neither --pending nor --ready nor -0") }
    let store = try invocation.openStore()
    let records = try failing { () throws(StoreError) in try store.session.damagedRecords() }
    let prefix = invocation.raw(.prefix) ?? []
    var results = Results(invocation.environment)
    for (record, size, generation) in records where record.key.bytes.starts(with: prefix) {
        let members: [JSON.Member] = [
            .init("state", .text("damaged")), .init("key", .text(record.key.description)),
            .init("generation", .generation(generation)), .init("age", .seconds(record.age)),
            .init("size", .number(size)),
        ]
        let age = record.age.components.seconds
        try results.line(
            invocation.has(.json)
                ? JSON.line(members)
                : "damaged\t\(record.key)\t\(generation)\t\(age)\t\(size)")
    }
    try results.flush()
    return .yes
}

private func line(of entry: Store.Summary) -> String {
    let (state, last): (String, String) =
        switch entry.state {
        case .pending(let holder): ("pending", holder.description)
        case .ready(let size): ("ready", String(size))
        }
    let age = entry.age.components.seconds
    return "\(state)\t\(entry.key)\t\(entry.generation)\t\(age)\t\(last)"
}

private func members(of entry: Store.Summary) -> [JSON.Member] {
    let (state, last): (String, JSON.Member) =
        switch entry.state {
        case .pending(let holder): ("pending", .init("holder", JSON.holder(holder)))
        case .ready(let size): ("ready", .init("size", .number(size)))
        }
    return [
        .init("state", .text(state)), .init("key", .text(entry.key.description)),
        .init("generation", .generation(entry.generation)), .init("age", .seconds(entry.age)), last,
    ]
}

@Sendable private func runReap(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    var limits = Store.ReapLimits()
    limits.assumeDeadAfter = invocation.duration(.assumeDeadAfter)
    limits.maxAge = invocation.duration(.reapMaxAge)
    limits.maxEntries = invocation.number(.maxEntries).flatMap { Int(exactly: $0) }
    limits.maxBytes = invocation.size(.maxBytes)
    var results = Results(invocation.environment)
    var failure: Failure?
    let isJSON = invocation.has(.json)
    let request = ReapRequest(limits, dryRun: invocation.has(.dryRun)) { reaped in
        let reason = name(of: reaped.reason)
        let members: [JSON.Member] = [
            .init("key", .text(reaped.key.description)), .init("reason", .text(reason)),
        ]
        do throws(Failure) {
            try results.line(isJSON ? JSON.line(members) : "\(reaped.key)\t\(reason)")
        } catch {
            failure = failure ?? error
        }
        Process.unblockTermination()
    }
    let outcome = Result { () throws(StoreError) in try store.session.reap(request) }
    // What was removed is said, also when something went wrong later.
    try results.flush()
    if let failure { throw failure }
    try failing { () throws(StoreError) in try outcome.get() }
    return .yes
}

private func name(of reason: Store.Reaped.Reason) -> String {
    switch reason {
    case .deadProcess: "dead-process"
    case .deadSession: "dead-session"
    case .rebooted: "rebooted"
    case .expired: "expired"
    case .assumedDead: "assumed-dead"
    case .torn: "torn"
    case .tooOld: "too-old"
    case .evicted: "evicted"
    @unknown default: "unknown"
    }
}

@Sendable private func runInit(_ invocation: Invocation) throws(Failure) -> ExitCode {
    var marker = Marker()
    if let raw = invocation.raw(.mode) {
        marker.mode = UInt32(String(decoding: raw, as: UTF8.self), radix: 8) ?? 0
        guard Marker.isAcceptable(mode: marker.mode) else {
            throw .usage("--mode takes \(OptionValue.mode.expectation), not '\(shown(raw))'")
        }
    }
    marker.isDurable = invocation.has(.durable)
    let store = try invocation.openStore()
    let wanted = marker
    let found = try failing { () throws(StoreError) in try store.session.make(wanted) }
    guard found == wanted else {
        throw Failure(
            .cannotCreate,
            "the store at \(shown(try invocation.storePath())) exists with other settings "
                + "(\(found.summary)); settings cannot be changed")
    }
    return .yes
}

extension Marker {
    fileprivate var summary: String {
        "mode 0\(String(mode, radix: 8)), \(isDurable ? "durable" : "not durable")"
    }
}
