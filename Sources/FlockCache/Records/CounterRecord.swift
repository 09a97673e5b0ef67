internal import SystemCalls

/// A READY record that is a number, counted in place.
///
///        0  the claim section; then a line that says where the cells are, and spaces
///     1024  the first cell; then spaces
///     1536  the second cell
///
/// The cells are written in turn, each in its place, by whoever has the shard's mutex. The one of the higher
/// generation counts, and is never the one that is written. Each is in a sector of its own, so that whatever a
/// device makes of several writes that it had not finished, each cell is an earlier or the later one.
struct CounterRecord {
    /// The cell that counts.
    let cell: CounterCell
    /// Where the other one is.
    let nextOffset: Int
    /// Of the claim section, which cells are checked with; it never changes.
    let claimSection: Checksum

    static let byteCount = secondOffset + CounterCell.byteCount
    private static let firstOffset = 1024
    private static let secondOffset = 1536
    private static let line = Array("counter: 1024 1536\n".utf8)

    /// The text of the cell that is to be written, at `nextOffset`.
    func text(of cell: CounterCell) -> [UInt8] { cell.text(behind: claimSection) }

    // MARK: Writing a new one

    /// A new record behind a claim section; both cells say the same.
    static func bytes(behind section: [UInt8], _ cell: CounterCell) -> [UInt8] {
        var checksum = Checksum()
        unsafe section.withUnsafeBytes { unsafe checksum.update($0) }
        let text = cell.text(behind: checksum)
        var bytes = section + line
        fill(&bytes, to: firstOffset)
        bytes.append(contentsOf: text)
        fill(&bytes, to: secondOffset)
        bytes.append(contentsOf: text)
        return bytes
    }

    /// Spaces, and a line's end.
    private static func fill(_ bytes: inout [UInt8], to count: Int) {
        precondition(bytes.count < count, "a claim section is shorter")
        while bytes.count < count - 1 { bytes.append(UInt8(ascii: " ")) }
        bytes.append(UInt8(ascii: "\n"))
    }

    // MARK: Reading

    /// Whether what is behind the claim section of a READY record is that of a counter.
    static func isBegun(_ record: UnsafeRawBufferPointer, behind claimLength: Int) -> Bool {
        guard record.count >= claimLength + line.count else { return false }
        return unsafe record[claimLength..<(claimLength + line.count)].elementsEqual(line)
    }

    /// The counter that a file of that size holds; nil where it holds none, or none that is whole.
    ///
    /// Takes no lock. A cell that is not whole is being written, or was not written to its end; the other one then
    /// counts, but not at once: since the bytes of that were copied it may have been written itself, and be the newer
    /// one by now. So both are looked at once more. In that second look whichever is whole is no older than what
    /// counted when the first began: the one that was being written has that write behind it, and the other was
    /// the one that counted before it. So nobody who reads again and again sees a number go back.
    static func read(
        _ file: borrowing File, of name: EntryName
    ) throws(Errno) -> CounterRecord? {
        var wasTorn = false
        for _ in 0..<mostLooks {
            guard let cells = try look(at: file, name) else { return nil }
            if let record = cells.record(isSecondLook: wasTorn) { return record }
            wasTorn = true
        }
        return nil
    }

    /// The same of a file whose claim section has been read before.
    static func read(
        _ file: borrowing File, behind claimSection: Checksum
    ) throws(Errno) -> CounterRecord? {
        var wasTorn = false
        for _ in 0..<mostLooks {
            guard let cells = try look(at: file, behind: claimSection) else { return nil }
            if let record = cells.record(isSecondLook: wasTorn) { return record }
            wasTorn = true
        }
        return nil
    }

    /// More than any number of writers needs who happen to write both cells while they are read.
    private static let mostLooks = 100

    private struct Cells {
        let claimSection: Checksum
        let first, second: CounterCell?

        /// Of the bytes from the first cell on.
        init(_ bytes: UnsafeRawBufferPointer, behind claimSection: Checksum) {
            self.claimSection = claimSection
            let start = secondOffset - firstOffset
            first = unsafe CounterCell(
                UnsafeRawBufferPointer(rebasing: bytes[..<CounterCell.byteCount]),
                behind: claimSection)
            second = unsafe CounterCell(
                UnsafeRawBufferPointer(rebasing: bytes[start...]), behind: claimSection)
        }

        /// The cell that counts; nil where both are to be looked at once more.
        func record(isSecondLook: Bool) -> CounterRecord? {
            switch (first, second) {
            case (let first?, let second?):
                return first.generation >= second.generation
                    ? record(first, next: secondOffset) : record(second, next: firstOffset)
            case (let first?, nil) where isSecondLook: return record(first, next: secondOffset)
            case (nil, let second?) where isSecondLook: return record(second, next: firstOffset)
            default: return nil
            }
        }

        private func record(_ cell: CounterCell, next: Int) -> CounterRecord {
            CounterRecord(cell: cell, nextOffset: next, claimSection: claimSection)
        }
    }

    /// What the cells say now; nil where the file is none of a counter of that name.
    private static func look(
        at file: borrowing File, _ name: EntryName
    ) throws(Errno) -> Cells? {
        try unsafe withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 8) {
            (buffer) throws(Errno) in
            let count = try unsafe file.read(into: buffer, at: 0)
            let bytes = unsafe UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            guard count == byteCount, let claim = unsafe ClaimHead(bytes),
                unsafe isBegun(bytes, behind: claim.length),
                unsafe bytes[claim.name].elementsEqual(name.encoded)
            else { return nil }
            var section = Checksum()
            unsafe section.update(UnsafeRawBufferPointer(rebasing: bytes[..<claim.length]))
            return unsafe Cells(
                UnsafeRawBufferPointer(rebasing: bytes[firstOffset...]), behind: section)
        }
    }

    private static func look(
        at file: borrowing File, behind claimSection: Checksum
    ) throws(Errno) -> Cells? {
        try unsafe withUnsafeTemporaryAllocation(byteCount: byteCount - firstOffset, alignment: 8) {
            (buffer) throws(Errno) in
            guard try unsafe file.read(into: buffer, at: firstOffset) == buffer.count else {
                return nil
            }
            return unsafe Cells(UnsafeRawBufferPointer(buffer), behind: claimSection)
        }
    }
}
