internal import FlockCache
internal import SystemCalls

extension Verb {
    static let journalAppend = Verb(
        name: "journal append", group: .journals, summary: "Append a record to a journal.",
        operands: ["NAME", "[TEXT]"],
        options: [.recordFile, .lines, .changeWait, .encoded],
        detail: """
            Prints the record's number: 1, 2, 3 and so on, without gaps. Without TEXT, standard input is one record. With --lines each line of it is a record, and the last number is printed. A record has at most 16 MiB.
            """,
        exits: """
            0 appended: the number is printed
            64 the record is too large; nothing was appended
            65 the last segment of the journal is corrupt
            124 a stopped process is in the middle of a change of the journal
            """,
        example: """
            flock-cache journal append audit "$USER logged in"
            tail -F access.log | flock-cache journal append access --lines
            """,
        run: runAppend)
}

@Sendable private func runAppend(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let name = invocation.key()
    let patience = invocation.patience
    let hasText = invocation.operands.count == 2
    let path = invocation.text(.recordFile)
    if hasText, invocation.has(.lines) || path != nil {
        throw .usage("journal append takes a TEXT, or --file or --lines, not both")
    }
    if hasText {
        let text = invocation.operands[1]
        let number = try failing { () throws(StoreError) in
            try text.span.withUnsafeBytes { (bytes) throws(StoreError) in
                try store.session.append(bytes, to: name, patience: patience)
            }
        }
        try invocation.printNumber(number, of: name)
        return .yes
    }
    let input = try RecordInput(path, invocation)
    if invocation.has(.lines) {
        try appendLines(of: input, to: name, in: store, invocation)
        return .yes
    }
    let spool = RecordSpool(for: name, in: store.session)
    try input.forEachPiece { (bytes) throws(Failure) in
        try failing { () throws(StoreError) in try spool.append(bytes) }
    }
    let number = try failing { () throws(StoreError) in
        try spool.appendRecord(patience: patience)
    }
    try invocation.printNumber(number, of: name)
    return .yes
}

/// Appends each line as a record.
///
/// What one read yields is one batch: so a million lines take little memory, and a line that is typed is appended at
/// once.
///
/// What was appended before a failure is told like the whole.
private func appendLines(
    of input: borrowing RecordInput, to name: Store.Key, in store: Store, _ invocation: Invocation
) throws(Failure) {
    var lines = LineBatches(name, store.session, invocation.patience)
    var failure: Failure?
    do throws(Failure) {
        try input.forEachPiece { (bytes) throws(Failure) in
            try failing { () throws(StoreError) in try lines.take(bytes) }
            // What is to be told is told at the end; until then a signal may end this.
            Process.unblockTermination()
        }
        try failing { () throws(StoreError) in try lines.finish() }
    } catch {
        failure = error
    }
    if let last = lines.last { try invocation.printNumber(last, of: name) }
    if let failure { throw failure }
}

/// Lines on their way into a journal.
private struct LineBatches {
    private let session: Session
    private let name: Store.Key
    private let patience: Duration
    private var batch = JournalBatch()
    /// The beginning of a line whose end has not come yet.
    private var rest: RecordSpool
    private var hasRest = false
    /// The number of the last line that was appended.
    private(set) var last: UInt64?

    init(_ name: Store.Key, _ session: Session, _ patience: Duration) {
        self.name = name
        self.session = session
        self.patience = patience
        rest = RecordSpool(for: name, in: session)
    }

    mutating func take(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        var start = 0
        while let end = firstIndex(of: UInt8(ascii: "\n"), in: bytes, from: start) {
            let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            start = end + 1
            if hasRest {
                try rest.append(line)
                try finish()
            } else {
                batch.add(line)
            }
        }
        try flush()
        if start < bytes.count {
            try rest.append(UnsafeRawBufferPointer(rebasing: bytes[start...]))
            hasRest = true
        }
    }

    /// Appends the line whose end has not come, if there is one.
    mutating func finish() throws(StoreError) {
        guard hasRest else { return }
        last = try rest.appendRecord(patience: patience)
        hasRest = false
    }

    private mutating func flush() throws(StoreError) {
        guard !batch.isEmpty else { return }
        last = try session.append(batch, to: name, patience: patience).upperBound
        batch.removeAll()
    }
}

/// Where records come from, and what else is read in pieces.
struct RecordInput: ~Copyable {
    private let file: File?
    private let number: Int32
    private let place: String

    /// - Parameter path: nil or `-` is standard input.
    init(_ path: [UInt8]?, _ invocation: Invocation) throws(Failure) {
        guard let path, !path.elementsEqual("-".utf8) else {
            file = nil
            number = invocation.environment.input
            place = "standard input"
            return
        }
        place = shown(path)
        do throws(Errno) {
            let opened = try openValue(path, invocation.words, invocation.environment)
            number = opened.number
            file = consume opened
        } catch {
            throw Failure(.inputOutput, "cannot open \(place): \(error.message)")
        }
    }

    func forEachPiece(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 8)
        defer { buffer.deallocate() }
        while true {
            let count: Int
            do throws(Errno) {
                count = try readDescriptor(number, into: buffer)
            } catch {
                throw Failure(.inputOutput, "cannot read \(place): \(error.message)")
            }
            if count == 0 { return }
            try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}

extension Invocation {
    /// How long a change of a journal waits behind another one.
    var patience: Duration {
        guard let limit = wait(.changeWait)?.limit else { return .seconds(10) }
        return min(.seconds(10), limit)
    }

    fileprivate func printNumber(_ number: UInt64, of name: Store.Key) throws(Failure) {
        guard has(.json) else { return try print(String(number)) }
        try print([.init("journal", .text(name.description)), .init("number", .generation(number))])
    }
}
