internal import FlockCache

extension Verb {
    static let stats = Verb(
        name: "stats", group: .inspect, summary: "Print the number of entries and their size.",
        operands: [],
        options: [.prometheus],
        detail: """
            Prints 'pending N', 'ready N' and 'bytes N', where bytes counts the files of values; on a terminal a table with the size in words. --json and --prometheus add quarantined records, and whether the counts are exact.
            """,
        exits: """
            0 printed
            """,
        example: """
            flock-cache stats
            """,
        run: runStats)
}

@Sendable private func runStats(_ invocation: Invocation) throws(Failure) -> ExitCode {
    guard !invocation.has(.json) || !invocation.has(.prometheus) else {
        throw .usage("--json and --prometheus exclude each other")
    }
    try invocation.tellIfThereIsNoStore()
    let store = try invocation.openStore()
    let pass = store.session.newPass()
    let counts = try failing { () throws(StoreError) in try store.session.counts(pass) }
    var results = invocation.results
    if invocation.has(.json) {
        let members: [JSON.Member] = [
            .init("pending", .number(counts.pending)), .init("ready", .number(counts.ready)),
            .init("bytes", .number(counts.bytes)), .init("damaged", .number(counts.damaged)),
            .init("exact", .truth(counts.isExact)),
        ]
        try results.line(JSON.line(members))
    } else if invocation.has(.prometheus) {
        try results.line(metrics(counts, of: try invocation.absoluteStorePath()))
    } else {
        if let table = Table(invocation) {
            let rows = [
                ["pending", String(counts.pending)], ["ready", String(counts.ready)],
                ["size", spoken(bytes: counts.bytes)],
            ]
            for line in table.lines(rows, numbers: [1]) { try results.line(line) }
        } else {
            try results.line("pending \(counts.pending)")
            try results.line("ready \(counts.ready)")
            try results.line("bytes \(counts.bytes)")
        }
        if !counts.isExact {
            invocation.words.say(
                "the counts are approximate: a process is in the middle of a change, or something cannot be read"
            )
        }
        let words = invocation.words
        if counts.damaged > 0 && words.isVerbose {
            words.say(
                "corrupt records in quarantine: \(counts.damaged); see flock-cache list "
                    + "--damaged; reap --max-age removes them")
        }
    }
    try results.flush()
    try failing { () throws(StoreError) in try pass.finish() }
    return .yes
}

/// The counts in the text format of the Prometheus exposition formats, version 0.0.4.
private func metrics(_ counts: Store.Counts, of store: [UInt8]) -> String {
    var label = ""
    for character in String(decoding: store, as: UTF8.self) {
        switch character {
        case "\\": label += "\\\\"
        case "\"": label += "\\\""
        case "\n": label += "\\n"
        default: label.append(character)
        }
    }
    let store = "store=\"\(label)\""
    return """
        # HELP flock_cache_entries Keys of a store, by their state.
        # TYPE flock_cache_entries gauge
        flock_cache_entries{\(store),state="pending"} \(counts.pending)
        flock_cache_entries{\(store),state="ready"} \(counts.ready)
        # HELP flock_cache_ready_bytes Sizes of the files of a store's values, heads included.
        # TYPE flock_cache_ready_bytes gauge
        flock_cache_ready_bytes{\(store)} \(counts.bytes)
        # HELP flock_cache_damaged Damaged records of a store that are kept for inspection.
        # TYPE flock_cache_damaged gauge
        flock_cache_damaged{\(store)} \(counts.damaged)
        # HELP flock_cache_counts_exact Whether a store's counts are exact: 0 behind a change that is stuck.
        # TYPE flock_cache_counts_exact gauge
        flock_cache_counts_exact{\(store)} \(counts.isExact ? 1 : 0)
        """
}
