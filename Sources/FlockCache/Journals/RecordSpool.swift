internal import SystemCalls

/// A record on its way into a journal: kept in memory while it is small, written to a file without a name when it
/// grows.
///
/// The journal's lock is not held meanwhile: whoever writes the record may take as long as it likes.
package final class RecordSpool {
    private let session: Session
    private let name: Store.Key
    private var small: [UInt8] = []
    private var file: SpoolFile?
    /// How many bytes it has.
    package private(set) var count = 0

    private static let mostInMemory = 1 << 20

    private final class SpoolFile {
        let file: File
        init(_ file: consuming File) { self.file = file }
    }

    package init(for name: Store.Key, in session: Session) {
        self.session = session
        self.name = name
    }

    /// Takes more of the record.
    ///
    /// - Throws: `.invalidRecord` beyond 16 MiB.
    package func append(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        guard count + bytes.count <= Limits.record else { throw .recordTooLarge(name) }
        if file == nil, small.count + bytes.count > Self.mostInMemory { try grow() }
        if let file {
            let offset = count
            try attempt("keep a record", session.path) { () throws(Errno) in
                try unsafe file.file.write(bytes, at: offset)
            }
        } else {
            unsafe small.append(contentsOf: bytes)
        }
        count += bytes.count
    }

    private func grow() throws(StoreError) {
        let store = try session.forWriting()
        let fresh = try attempt("keep a record", session.path) { () throws(Errno) in
            // `reap` removes the name if this is killed before it does.
            let hidden = try Marker.privateName()
            let file = try store.root.open(hidden, .createNew(mode: 0o600))
            try store.root.unlink(hidden)
            try file.write(small, at: 0)
            return SpoolFile(file)
        }
        file = fresh
        small = []
    }

    /// Appends the record, returns its number, and is empty again.
    package func appendRecord(patience: Duration) throws(StoreError) -> UInt64 {
        let number: UInt64
        if let file {
            let (count, path) = (count, session.path)
            number = try session.appending(to: name, patience) { (held) throws(StoreError) in
                try held.append(count, bytesOf: file.file, at: path)
            }
        } else {
            let record = small
            number = try unsafe record.span.withUnsafeBytes { (bytes) throws(StoreError) in
                try unsafe session.append(bytes, to: name, patience: patience)
            }
        }
        small.removeAll(keepingCapacity: true)
        file = nil
        count = 0
        return number
    }
}
