internal import FlockCache

extension Verb {
    static let list = Verb(
        name: "list", group: .inspect, summary: "List claims and values.",
        operands: [],
        options: [.onlyPending, .onlyReady, .onlyDamaged, .prefix, .nulEnded],
        detail: """
            On a terminal it prints a table, sorted by key; elsewhere each line is STATE, KEY, GENERATION, AGE-SECONDS and SIZE-OR-HOLDER, separated by tabs and unsorted. STATE is pending or ready; keys are percent-encoded (see --encoded). A value that is being computed again has two lines, ready and pending.
            """,
        exits: """
            0 listed
            74 something could not be read; it is named, and the rest is listed
            """,
        example: """
            flock-cache list --pending
            flock-cache list --ready --prefix tmp/ -0 | xargs -0 flock-cache remove --
            """,
        run: runList)
}

@Sendable private func runList(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.has(.onlyDamaged) { return try runListDamaged(invocation) }
    try invocation.tellIfThereIsNoStore()
    let store = try invocation.openStore()
    let filter: Store.Filter =
        switch (invocation.has(.onlyPending), invocation.has(.onlyReady)) {
        case (true, false): .pending
        case (false, true): .ready
        default: .all
        }
    let prefix = invocation.text(.prefix).map { Store.Key($0) }
    var entries = try failing { () throws(StoreError) in
        try store.entries(filter, prefix: prefix)
    }
    let progress = Progress(invocation, "entries listed")
    var output = ListOutput(invocation)
    var count = 0
    func next() throws(Failure) -> Store.Summary? {
        do throws(StoreError) {
            return try entries.next()
        } catch {
            progress.end()
            try output.end()  // what was found so far was found
            throw Failure(error)
        }
    }
    while let entry = try next() {
        count += 1
        progress.step(count, 0)
        try output.add(entry)
    }
    progress.end()
    try output.end()
    return .yes
}

/// A listing as it is printed: at once, or on a terminal sorted and aligned when it has ended.
private struct ListOutput {
    private let invocation: Invocation
    private let table: Table?
    private var results: Results
    private var former: Store.Key?
    /// What is to be sorted; beyond a number that people read, entries are printed as they come.
    private var rows: [Store.Summary] = []
    private static let mostSorted = 10_000

    init(_ invocation: Invocation) {
        self.invocation = invocation
        results = invocation.results
        let isForPrograms = invocation.has(.nulEnded) || invocation.has(.json)
        table = isForPrograms ? nil : Table(invocation)
    }

    mutating func add(_ entry: Store.Summary) throws(Failure) {
        if invocation.has(.nulEnded) {
            // A key that is listed as both is one key.
            if former != entry.key { try results.bytes(entry.key.bytes + [0]) }
            former = entry.key
        } else if invocation.has(.json) {
            try results.line(JSON.line(members(of: entry)))
        } else if table != nil {
            rows.append(entry)
            if rows.count >= Self.mostSorted { try flushRows() }
        } else {
            try results.line(line(of: entry))
        }
    }

    mutating func end() throws(Failure) {
        try flushRows()
        try results.flush()
    }

    private mutating func flushRows() throws(Failure) {
        guard let table, !rows.isEmpty else { return }
        let sorted = rows.sorted { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) }
        rows = []
        let heading = ["STATE", "KEY", "GENERATION", "AGE", "SIZE OR HOLDER"]
        let lines = table.lines([heading] + sorted.map(row), numbers: [3])
        for (index, line) in lines.enumerated() {
            try results.line(table.colored(line, index == 0 ? .bold : nil))
        }
    }

    private func row(of entry: Store.Summary) -> [String] {
        let (state, last): (String, String) =
            switch entry.state {
            case .pending(let holder): ("pending", Phrases.description(of: holder))
            case .ready(let size): ("ready", spoken(bytes: size))
            }
        return [
            state, entry.key.description, String(entry.generation), entry.age.spoken, last,
        ]
    }
}

private func runListDamaged(_ invocation: Invocation) throws(Failure) -> ExitCode {
    guard !invocation.has(.onlyPending), !invocation.has(.onlyReady), !invocation.has(.nulEnded)
    else { throw .usage("--damaged goes with neither --pending nor --ready nor -0") }
    let store = try invocation.openStore()
    let records = try failing { () throws(StoreError) in try store.session.damagedRecords() }
    let prefix = invocation.text(.prefix) ?? []
    var results = invocation.results
    for (record, size, generation) in records where record.key.bytes.starts(with: prefix) {
        let members = JSON.members(
            "damaged", record.key,
            [
                .init("generation", .generation(generation)), .init("age", .seconds(record.age)),
                .init("size", .number(size)),
            ])
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
    return JSON.members(
        state, entry.key,
        [
            .init("generation", .generation(entry.generation)), .init("age", .seconds(entry.age)),
            last,
        ])
}
