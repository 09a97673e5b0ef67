internal import FlockCache

extension Verb {
    static let journalRead = Verb(
        name: "journal read", group: .journals, summary: "Print the records of a journal.",
        operands: ["NAME"],
        options: [.from, .follow, .nulRecords, .followWait, .encoded],
        detail: """
            Each line is NUMBER, TIME and TEXT, separated by tabs. TIME is UTC; TEXT is percent-encoded as keys are in 'list'. With --follow it prints records as they are appended, until interrupted.
            """,
        exits: """
            0 printed
            1 no such journal; or it was removed under --follow
            64 record N is beyond the next record
            65 a record is corrupt
            66 record N was trimmed; the message names the first one kept
            124 timed out: no record for -w D
            """,
        example: """
            flock-cache journal read audit --follow
            flock-cache journal read audit --from 100 -0
            """,
        run: runRead)
}

@Sendable private func runRead(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let name = invocation.key()
    let isFollowing = invocation.has(.follow)
    let limit = invocation.wait(.followWait)
    if limit != nil, !isFollowing { throw .usage("-w goes with --follow") }
    let from = invocation.count(.from).map { UInt64($0) }
    let opened = try failing { () throws(StoreError) in
        try store.session.readJournal(name, from: from, isBounded: !isFollowing)
    }
    guard let reader = opened else { return .no }
    var records = PrintedRecords(reader, name, invocation)
    while true {
        switch try records.printAll() {
        case .record: break
        case .noJournal:
            invocation.words.say("journal '\(name)' was removed")
            return .no
        case .end:
            guard isFollowing else { return .yes }
            let waited = limit ?? .forever
            guard store.session.waitForRecords(of: reader, upTo: waited.limit) else {
                if invocation.has(.json) {
                    try invocation.print([
                        .init("state", .text("timed-out")),
                        .init("journal", .text(name.description)),
                    ])
                }
                invocation.words.say("timed out waiting for the next record of journal '\(name)'")
                return .timedOut
            }
        }
    }
}

/// The records of a journal, as they are printed.
private struct PrintedRecords {
    private let reader: JournalReader
    private let name: Store.Key
    private let isRaw: Bool
    private let isJSON: Bool
    private var results: Results

    init(_ reader: JournalReader, _ name: Store.Key, _ invocation: Invocation) {
        self.reader = reader
        self.name = name
        isRaw = invocation.has(.nulRecords)
        isJSON = invocation.has(.json)
        results = invocation.results
    }

    /// Prints what there is, and returns what came behind the last record.
    mutating func printAll() throws(Failure) -> JournalReader.Step {
        while true {
            let step: JournalReader.Step
            do throws(StoreError) {
                step = try reader.next()
            } catch {
                try results.flush()  // what was read so far was read
                throw Failure(error)
            }
            guard case .record(let record) = step else {
                try results.flush()
                return step
            }
            try print(record)
        }
    }

    private mutating func print(_ record: JournalReader.Found) throws(Failure) {
        if isRaw {
            try pieces(of: record) { (bytes, results) throws(Failure) in try results.bytes(bytes) }
            try results.bytes([0])
            return
        }
        let time = UTCTime(microseconds: record.time).text
        guard isJSON else {
            try results.bytes("\(record.number)\t\(time)\t".utf8)
            try pieces(of: record) { (bytes, results) throws(Failure) in
                var text: [UInt8] = []
                text.reserveCapacity(bytes.count)
                appendEscaped(bytes, to: &text)
                try results.bytes(text)
            }
            try results.line("")
            return
        }
        let head = JSON.line([
            .init("journal", .text(name.description)), .init("number", .generation(record.number)),
            .init("time", .text(time)),
        ])
        try results.bytes(head.utf8.dropLast())
        try results.bytes(",".utf8)
        let reader = reader
        try JSONValue { (body) throws(Failure) in
            try failing { () throws(StoreError) in
                try reader.pieces(of: record) { (bytes) throws(StoreError) in body(bytes) }
            }
        }.write(to: &results)
        try results.line("}")
    }

    private mutating func pieces(
        of record: JournalReader.Found,
        _ body: (UnsafeRawBufferPointer, inout Results) throws(Failure) -> Void
    ) throws(Failure) {
        var failure: Failure?
        do throws(StoreError) {
            try reader.pieces(of: record) { (bytes) throws(StoreError) in
                guard failure == nil else { return }
                do throws(Failure) { try body(bytes, &results) } catch { failure = error }
            }
        } catch {
            throw Failure(error)
        }
        if let failure { throw failure }
    }
}
