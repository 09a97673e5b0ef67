internal import SystemCalls

/// Goes through the records of a segment one by one, along the chain of their checks.
///
/// Needs a window of memory, however large the records are. Used by one thread at a time.
@safe final class SegmentScan {
    let segment: Segment
    /// Behind the record that was found last.
    private(set) var end: JournalCell.End
    /// Of the record that was found last.
    private(set) var time: Int64 = 0

    private let window: UnsafeMutableRawBufferPointer
    /// Where in the file the window begins, and how many bytes of it are there.
    private var start = 0
    private var filled = 0

    private static let windowByteCount = 64 << 10

    /// - Parameter end: where to begin; nil: with the first record.
    init(_ segment: Segment, from end: JournalCell.End? = nil) {
        self.segment = segment
        self.end = end ?? JournalCell.End(check: segment.salt)
        unsafe window = .allocate(byteCount: Self.windowByteCount, alignment: 8)
    }

    deinit { unsafe window.deallocate() }

    /// What follows the end.
    enum Finding {
        case record(JournalFrame, payload: Int)
        /// No complete record of this number: nothing, another writer's rest, or damage.
        case none
    }

    /// Nothing behind it is looked at.
    var limit = Int.max

    /// The next record, which is complete if it is returned; `end` lies behind it then.
    func next() throws(StoreError) -> Finding {
        let offset = end.offset
        guard limit - offset >= JournalFrame.byteCount else { return .none }
        guard let frame = try frame(at: offset), frame.previous == end.check,
            frame.number == segment.first + end.records,
            limit - offset >= JournalFrame.size(of: frame.count)
        else { return .none }
        let payload = offset + JournalFrame.byteCount
        var checksum = frame.checksum
        let isThere = try unsafe pieces(payload, frame.count) { unsafe checksum.update($0) }
        guard isThere, checksum.value == frame.check else { return .none }
        end.records += 1
        end.offset = payload + frame.count
        end.check = frame.check
        time = frame.time
        return .record(frame, payload: payload)
    }

    /// Lets go of what was read ahead: it may have been written since.
    func refresh() { filled = 0 }

    private func frame(at offset: Int) throws(StoreError) -> JournalFrame? {
        let count = JournalFrame.byteCount
        guard try fill(offset, atLeast: count) >= count else { return nil }
        let begin = offset - start
        return unsafe JournalFrame(
            UnsafeRawBufferPointer(rebasing: window[begin..<(begin + count)]))
    }

    /// Calls a closure with the bytes of a part of the file, piece by piece; false where the file ends before.
    func pieces(
        _ offset: Int, _ count: Int, _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) -> Bool {
        var done = 0
        while done < count {
            let there = try fill(offset + done, atLeast: 1)
            guard there > 0 else { return false }
            let begin = offset + done - start
            let size = min(there, count - done)
            try unsafe body(UnsafeRawBufferPointer(rebasing: window[begin..<(begin + size)]))
            done += size
        }
        return true
    }

    /// Has at least so many bytes from an offset on in the window, and returns how many there are: fewer where the
    /// file ends.
    private func fill(_ offset: Int, atLeast count: Int) throws(StoreError) -> Int {
        if offset < start || offset + count > start + filled {
            let part = unsafe UnsafeMutableRawBufferPointer(
                rebasing: window.prefix(max(0, limit - offset)))
            let read = try attempt("read", segment.path) { () throws(Errno) in
                try unsafe segment.file.read(into: part, at: offset)
            }
            start = offset
            filled = read
        }
        return max(0, start + filled - offset)
    }
}
