internal import SystemCalls

/// An open segment of a journal.
final class Segment: Sendable {
    let file: File
    /// The number of its first record.
    let first: UInt64
    let salt: UInt32
    let inode: UInt64
    private let journal: String
    /// For messages.
    var path: String {
        journal + "/" + String(decoding: Layout.segment(first).bytes, as: UTF8.self)
    }

    init(_ file: consuming File, _ header: JournalHeader, inode: UInt64, in journal: String) {
        self.file = file
        first = header.first
        salt = header.salt
        self.inode = inode
        self.journal = journal
    }

    /// Opens a segment; nil where there is none of that number.
    ///
    /// - Throws: `.damaged` where its first sector is not that of a segment.
    static func open(
        _ first: UInt64, in directory: Directory, _ access: Directory.Access, journal: String
    ) throws(StoreError) -> Segment? {
        let name = Layout.segment(first)
        let path = journal + "/" + String(decoding: name.bytes, as: UTF8.self)
        do throws(Errno) {
            let file = try directory.open(name, access)
            let status = try file.status()
            guard status.isRegular else { throw Errno.notADirectory }
            let header: JournalHeader? = try unsafe withUnsafeTemporaryAllocation(
                byteCount: JournalHeader.byteCount, alignment: 8
            ) { (bytes) throws(Errno) in
                let count = try unsafe file.read(into: bytes, at: 0)
                return unsafe JournalHeader(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
            if let header, header.first == first {
                return Segment(file, header, inode: status.inode, in: journal)
            }
        } catch {
            if error == .noEntry { return nil }
            throw StoreError(error, "open", path: path)
        }
        throw .damagedSegment(path)
    }

    /// The cell that counts, and which of the two it is; nil where neither is valid.
    func cell() throws(StoreError) -> (cell: JournalCell, index: Int)? {
        let start = JournalCell.offsets[0]
        let count = JournalCell.offsets[1] + JournalCell.byteCount - start
        return try unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) {
            (bytes) throws(StoreError) in
            let count = try attempt("read", path) { () throws(Errno) in
                try unsafe file.read(into: bytes, at: start)
            }
            return unsafe JournalCell.current(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
    }

    func write(_ cell: JournalCell, at index: Int) throws(StoreError) {
        try unsafe withUnsafeTemporaryAllocation(
            byteCount: JournalCell.byteCount, alignment: 8
        ) { (bytes) throws(StoreError) in
            unsafe cell.write(to: bytes)
            try attempt("write", path) { () throws(Errno) in
                try unsafe file.write(
                    UnsafeRawBufferPointer(bytes), at: JournalCell.offsets[index])
            }
        }
    }

    /// Whether the segment still has a name; otherwise it was trimmed away, or its journal removed.
    func isLinked() throws(StoreError) -> Bool {
        try attempt("use", path) { () throws(Errno) in try file.status().links > 0 }
    }

    func sync() throws(StoreError) {
        try attempt("synchronise", path) { () throws(Errno) in try file.syncData() }
    }

    // MARK: All of a journal

    /// The numbers by which the segments of a journal begin, rising.
    static func all(in directory: Directory, journal: String) throws(StoreError) -> [UInt64] {
        var found: [UInt64] = []
        try attempt("list", journal) { () throws(Errno) in
            try unsafe directory.forEachName { name in
                if let first = unsafe Layout.segmentFirst(of: name) { found.append(first) }
                return true
            }
        }
        return found.sorted()
    }
}
