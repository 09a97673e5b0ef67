internal import SystemCalls

/// Writes records with their frames behind the end of a segment.
///
/// They do not exist before a cell says so.
struct FrameWriter {
    private let segment: Segment
    private let time: Int64
    /// Behind the last record that was added.
    private(set) var end: JournalCell.End
    /// Small records that are written together, and where.
    private var pending: [UInt8] = []
    private var start: Int

    /// A record up to this size is copied, so that one write takes it and its frame.
    private static let copied = 16 << 10
    private static let mostPending = 64 << 10

    init(_ segment: Segment, from end: JournalCell.End, at time: Int64, capacity: Int) {
        self.segment = segment
        self.time = time
        self.end = end
        start = end.offset
        pending.reserveCapacity(min(capacity, Self.mostPending + 2 * Self.copied))
    }

    mutating func add(_ record: UnsafeRawBufferPointer) throws(StoreError) {
        var frame = frame(record.count)
        var checksum = frame.checksum
        unsafe checksum.update(record)
        frame.check = checksum.value
        append(frame)
        if frame.count > Self.copied {
            try flush()
            try unsafe write(record, at: start)
            start += frame.count
        } else {
            unsafe pending.append(contentsOf: record)
            if pending.count >= Self.mostPending { try flush() }
        }
        advance(frame)
    }

    /// Adds the first bytes of a file as one record, through a small buffer.
    ///
    /// - Parameter path: of that file, for messages.
    mutating func add(
        _ count: Int, bytesOf file: borrowing File, at path: String
    ) throws(StoreError) {
        try flush()
        var frame = frame(count)
        var checksum = frame.checksum
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.mostPending, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var done = 0
        while done < count {
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(count - done))
            let read = try attempt("read", path) { () throws(Errno) in
                let read = try unsafe file.read(into: part, at: done)
                if read == 0 { throw Errno.inputOutput }
                return read
            }
            let piece = unsafe UnsafeRawBufferPointer(rebasing: part[..<read])
            unsafe checksum.update(piece)
            try unsafe write(piece, at: start + JournalFrame.byteCount + done)
            done += read
        }
        frame.check = checksum.value
        append(frame)
        try flush()
        start += count
        advance(frame)
    }

    /// Writes what was only added yet.
    mutating func flush() throws(StoreError) {
        guard !pending.isEmpty else { return }
        let offset = start
        try unsafe pending.span.withUnsafeBytes { (bytes) throws(StoreError) in
            try unsafe write(bytes, at: offset)
        }
        start += pending.count
        pending.removeAll(keepingCapacity: true)
    }

    private func frame(_ count: Int) -> JournalFrame {
        JournalFrame(
            count: count, previous: end.check, number: segment.first + end.records, time: time)
    }

    private mutating func append(_ frame: JournalFrame) {
        unsafe withUnsafeTemporaryAllocation(byteCount: JournalFrame.byteCount, alignment: 8) {
            bytes in
            unsafe frame.write(to: bytes)
            unsafe pending.append(contentsOf: bytes)
        }
    }

    private mutating func advance(_ frame: JournalFrame) {
        end.records += 1
        end.offset += JournalFrame.size(of: frame.count)
        end.check = frame.check
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StoreError) {
        try attempt("append to the journal", segment.path) { () throws(Errno) in
            try unsafe segment.file.write(bytes, at: offset)
        }
    }
}
