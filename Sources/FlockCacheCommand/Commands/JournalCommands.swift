internal import FlockCache

extension Verb {
    static let journalTrim = Verb(
        name: "journal trim", group: .journals, summary: "Remove the oldest records of a journal.",
        operands: ["NAME"],
        options: [.keep, .keepAge, .keepBytes, .changeWait, .encoded],
        detail: """
            At least one limit is required. Records beyond any of the limits are removed, in whole segments of up to 64 MiB: so up to one segment more than was asked for may stay. --keep 0 leaves nothing, and numbering continues. Readers are not disturbed.
            """,
        exits: """
            0 trimmed
            124 a stopped process is in the middle of a change of the journal
            """,
        example: """
            flock-cache journal trim audit --max-age 90d
            """,
        run: runTrim)

    static let journalList = Verb(
        name: "journal list", group: .journals, summary: "List the journals.",
        operands: [],
        options: [],
        detail: """
            Each line is NAME, FIRST, LAST and BYTES, separated by tabs. FIRST and LAST are the numbers of the oldest and the newest record kept; where none is kept, FIRST is the next number and LAST is FIRST - 1.
            """,
        exits: """
            0 listed
            """,
        example: """
            flock-cache journal list
            """,
        run: runList)

    static let journalRemove = Verb(
        name: "journal remove", group: .journals, summary: "Remove a journal and all its records.",
        operands: ["NAME"],
        options: [.changeWait, .encoded],
        detail: """
            The next append begins a new journal with record 1.
            """,
        exits: """
            0 removed; also if there was none
            124 a stopped process is in the middle of a change of the journal
            """,
        example: """
            flock-cache journal remove audit
            """,
        run: runRemove)
}

@Sendable private func runTrim(_ invocation: Invocation) throws(Failure) -> ExitCode {
    var limits = JournalLimits()
    limits.count = invocation.count(.keep)
    limits.maxAge = invocation.duration(.keepAge)
    limits.maxBytes = invocation.size(.keepBytes)
    guard limits.count != nil || limits.maxAge != nil || limits.maxBytes != nil else {
        throw .usage("journal trim needs --keep, --max-age or --max-bytes")
    }
    let store = try invocation.openStore()
    try failing { () throws(StoreError) in
        try store.session.trimJournal(invocation.key(), limits, patience: invocation.patience)
    }
    return .yes
}

@Sendable private func runRemove(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    _ = try failing { () throws(StoreError) in
        try store.session.removeJournal(invocation.key(), patience: invocation.patience)
    }
    return .yes
}

@Sendable private func runList(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    var results = invocation.results
    var failure: Failure?
    let outcome = Result { () throws(StoreError) in
        try store.session.listJournals { journal in
            guard failure == nil else { return }
            do throws(Failure) {
                try results.line(
                    invocation.has(.json) ? JSON.line(members(of: journal)) : line(of: journal))
            } catch {
                failure = error
            }
        }
    }
    if let failure { throw failure }
    try results.flush()  // what was found was found
    try failing { () throws(StoreError) in try outcome.get() }
    return .yes
}

private func line(of journal: JournalSummary) -> String {
    "\(journal.name)\t\(journal.first)\t\(journal.last)\t\(journal.bytes)"
}

private func members(of journal: JournalSummary) -> [JSON.Member] {
    [
        .init("journal", .text(journal.name.description)),
        .init("first", .generation(journal.first)), .init("last", .generation(journal.last)),
        .init("bytes", .number(journal.bytes)),
    ]
}
