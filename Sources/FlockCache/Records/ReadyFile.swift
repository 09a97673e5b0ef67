package import SystemCalls

/// A READY record that was found whole: its head, and its value or the way to it.
package struct ReadyFile: Sendable {
    package let key: Store.Key
    package let generation: Store.Generation
    /// Wall clock, microseconds since 1970.
    let finalized: Int64
    package let valueLength: Int
    private let content: Content

    private enum Content: Sendable {
        case bytes([UInt8])
        case file(LargeFile)
    }

    private final class LargeFile: Sendable {
        let file: File
        let size: Int
        /// Whether nobody else can cut the file: reading a map beyond its end would kill the process.
        let isOurs: Bool

        init(_ file: consuming File, _ status: FileStatus) {
            self.file = file
            size = status.size
            isOurs = status.user == Process.user && status.mode & 0o022 == 0
        }
    }

    /// Records up to this are read with one call; a page of memory, and most values are names.
    private static let oneRead = 4096
    /// Values beyond this are never held in memory by us, only mapped for who asks.
    static let largestInMemory = 64 << 10
    private static let copyBuffer = 256 << 10

    /// How long ago the value was published; not below zero.
    package var age: Duration {
        .microseconds(max(0, WallClock.microseconds - finalized))
    }

    package func isOlder(than maxAge: Duration?) -> Bool {
        maxAge.map { ValueSection.isOld(finalized, than: $0) } ?? false
    }

    // MARK: Reading and checking

    /// What reading a record file comes to.
    enum Reading {
        case ready(ReadyFile, modified: Int64)
        /// Its check fails, or it is no regular file.
        case damaged
    }

    /// Reads and checks the record file of an entry.
    ///
    /// Failures of the device are errors, not damage.
    static func read(
        _ file: consuming File, _ name: EntryName
    ) throws(Errno) -> Reading {
        let status = try file.status()
        guard status.isRegular else { return .damaged }
        if status.size == CounterRecord.byteCount,
            let counter = try CounterRecord.read(file, of: name)
        {
            return .ready(ReadyFile(name.key, counter.cell), modified: status.modified)
        }
        let found = try unsafe withUnsafeTemporaryAllocation(
            byteCount: min(status.size, oneRead), alignment: 8
        ) { (buffer) throws(Errno) -> Head? in
            let count = try unsafe file.read(into: buffer, at: 0)
            let bytes = unsafe UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            return unsafe Head(bytes, of: name, fileSize: status.size)
        }
        guard let head = found else { return .damaged }
        let content: Content
        if let small = head.value {
            content = .bytes(small)
        } else {
            guard try check(file, headEnd: head.end, size: status.size) == head.check else {
                return .damaged
            }
            if head.section.payloadLength <= largestInMemory {
                content = .bytes(
                    try file.contents(upTo: head.section.payloadLength, at: head.end))
            } else {
                content = .file(LargeFile(file, status))
            }
        }
        let ready = ReadyFile(
            key: name.key, generation: head.generation, finalized: head.section.finalized,
            valueLength: head.section.payloadLength, content: content)
        return .ready(ready, modified: status.modified)
    }

    private init(_ key: Store.Key, _ cell: CounterCell) {
        let value = cell.value
        self.init(
            key: key, generation: cell.generation, finalized: cell.counted,
            valueLength: value.count,
            content: .bytes(value))
    }

    private init(
        key: Store.Key, generation: Store.Generation, finalized: Int64, valueLength: Int,
        content: Content
    ) {
        self.key = key
        self.generation = generation
        self.finalized = finalized
        self.valueLength = valueLength
        self.content = content
    }

    /// The heads of a record, and its value if that was read with them and is whole.
    private struct Head {
        let generation: Store.Generation
        let section: ValueSection
        let check: UInt32
        /// Where the value begins.
        let end: Int
        let value: [UInt8]?

        /// nil for what is damaged as far as can be told from these bytes.
        init?(_ bytes: UnsafeRawBufferPointer, of name: EntryName, fileSize: Int) {
            guard let claim = unsafe ClaimHead(bytes),
                let (section, check) = unsafe ValueSection.parse(bytes, behind: claim.length),
                unsafe bytes[claim.name].elementsEqual(name.encoded)
            else { return nil }
            end = claim.length + ValueSection.headLength
            guard fileSize == end + section.payloadLength else { return nil }
            generation = claim.generation
            self.section = section
            self.check = check
            guard bytes.count == fileSize else {
                value = nil
                return
            }
            let payload = unsafe UnsafeRawBufferPointer(rebasing: bytes[end...])
            var checksum = Checksum()
            unsafe checksum.update(payload)
            unsafe checksum.update(
                UnsafeRawBufferPointer(rebasing: bytes[..<(end - ValueSection.uncheckedTail)]))
            guard checksum.value == check else { return nil }
            value = unsafe [UInt8](payload)
        }
    }

    /// The checksum of a record that is too large for one read.
    private static func check(
        _ file: borrowing File, headEnd: Int, size: Int
    ) throws(Errno) -> UInt32? {
        var checksum = Checksum()
        let count = try unsafe file.forEachPiece(from: headEnd, upTo: copyBuffer) {
            unsafe checksum.update($0)
        }
        guard headEnd + count == size else { return nil }
        let head = try file.contents(upTo: headEnd - ValueSection.uncheckedTail, at: 0)
        unsafe head.withUnsafeBytes { unsafe checksum.update($0) }
        return checksum.value
    }

    struct Heads {
        let generation: Store.Generation
        /// When it was published, or last counted.
        let finalized: Int64
        let valueLength: Int
        /// Where the value begins; nil where it is a counter's.
        let valueStart: Int?

        /// Of the record's file, as it was written.
        var size: Int { valueStart.map { $0 + valueLength } ?? CounterRecord.byteCount }
    }

    /// The two heads of a record, without looking at the payload; nil if they are not whole.
    ///
    /// What a counter says stands in place of them.
    ///
    /// - Parameter size: of the file, where it is known: then it is read with one call.
    static func readHeads(
        _ file: borrowing File, of name: EntryName, size: Int = .max
    ) throws(Errno) -> Heads? {
        try unsafe withUnsafeTemporaryAllocation(
            byteCount: min(size, ClaimSection.mostBytes + ValueSection.headLength), alignment: 8
        ) { (buffer) throws(Errno) in
            let count = try unsafe file.read(into: buffer, at: 0)
            let bytes = unsafe UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            guard let claim = unsafe ClaimHead(bytes) else { return nil }
            if unsafe CounterRecord.isBegun(bytes, behind: claim.length) {
                return try CounterRecord.read(file, of: name).map {
                    Heads(
                        generation: $0.cell.generation, finalized: $0.cell.counted,
                        valueLength: $0.cell.value.count, valueStart: nil)
                }
            }
            guard let (value, _) = unsafe ValueSection.parse(bytes, behind: claim.length),
                unsafe bytes[claim.name].elementsEqual(name.encoded)
            else { return nil }
            return Heads(
                generation: claim.generation, finalized: value.finalized,
                valueLength: value.payloadLength,
                valueStart: claim.length + ValueSection.headLength)
        }
    }

    // MARK: The value

    /// The entry; a large value is mapped.
    func entry() throws(StoreError) -> Entry {
        let value: Value
        switch content {
        case .bytes(let bytes): value = Value(bytes)
        case .file(let large):
            let start = large.size - valueLength
            if large.isOurs,
                let mapping = Value.Mapping(large.file, size: large.size, payloadAt: start)
            {
                value = Value(mapping)
            } else {
                value = Value(
                    try attempt("read the value of \(key)", nil) { () throws(Errno) in
                        let bytes = try large.file.contents(upTo: valueLength, at: start)
                        guard bytes.count == valueLength else { throw .inputOutput }
                        return bytes
                    })
            }
        }
        return Entry(key: key, value: value, generation: generation, age: age)
    }

    /// Passes the value on piece by piece, so that a large one is never held in memory.
    package func forEachPiece(
        _ body: (UnsafeRawBufferPointer) throws(Errno) -> Void
    ) throws(Errno) {
        switch content {
        case .bytes(let bytes):
            try unsafe bytes.span.withUnsafeBytes { (bytes) throws(Errno) in try unsafe body(bytes)
            }
        case .file(let large):
            let start = large.size - valueLength
            let count = try unsafe large.file.forEachPiece(from: start, upTo: Self.copyBuffer, body)
            // Somebody has changed the file since it was found whole.
            guard count == valueLength else { throw .inputOutput }
        }
    }
}
