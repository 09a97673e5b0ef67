internal import SystemCalls

// Appending. The records are written behind the end, and exist when the cell says so.

extension HeldJournal {
    /// Appends records next to one another, all or none, and returns their numbers.
    ///
    /// In a durable store the lock is released for the time of a sync and taken again; the records are on the device
    /// and can be read when this returns.
    ///
    /// - Throws: `.noSpace` and other failures, after which nothing was appended; `.unknownOutcome` where a durable
    ///   store could not tell.
    mutating func append(_ records: [[UInt8]]) throws(StoreError) -> ClosedRange<UInt64> {
        let sizes = records.reduce(0) { $0 + JournalFrame.size(of: $1.count) }
        return try append(records.count, taking: sizes) { (writer) throws(StoreError) in
            for record in records {
                try unsafe record.span.withUnsafeBytes { (bytes) throws(StoreError) in
                    try unsafe writer.add(bytes)
                }
            }
        }
    }

    /// Appends one record and returns its number.
    mutating func append(_ record: UnsafeRawBufferPointer) throws(StoreError) -> UInt64 {
        let size = JournalFrame.size(of: record.count)
        return try append(1, taking: size) { (writer) throws(StoreError) in
            try unsafe writer.add(record)
        }.lowerBound
    }

    /// Appends the first bytes of a file as one record and returns its number.
    mutating func append(
        _ count: Int, bytesOf file: borrowing File, at path: String
    ) throws(StoreError) -> UInt64 {
        let size = JournalFrame.size(of: count)
        return try append(1, taking: size) { (writer) throws(StoreError) in
            try writer.add(count, bytesOf: file, at: path)
        }.lowerBound
    }

    /// Appends the records of a batch, all or none, and returns their numbers.
    mutating func append(_ batch: borrowing JournalBatch) throws(StoreError) -> ClosedRange<UInt64>
    {
        try append(batch.count, taking: batch.size) { (writer) throws(StoreError) in
            try unsafe batch.forEach { (record) throws(StoreError) in try unsafe writer.add(record)
            }
        }
    }

    private mutating func append(
        _ count: Int, taking size: Int,
        _ write: (inout FrameWriter) throws(StoreError) -> Void
    ) throws(StoreError) -> ClosedRange<UInt64> {
        try ensureRoom(size)
        let first = next
        let time = WallClock.microseconds
        var writer = FrameWriter(segment, from: cell.written, at: time, capacity: size)
        try write(&writer)
        try writer.flush()
        var changed = cell
        changed.written = writer.end
        changed.time = time
        let isDurable = journal.files.isDurable
        if !isDurable { changed.committed = changed.written }
        try commit(changed)
        if isDurable {
            try publish(upTo: changed.written, first)
        } else {
            hasNews = true
        }
        return first...(first + UInt64(count) - 1)
    }

    // MARK: Room

    /// Has room for so many bytes of records with their frames (`JournalFrame.size`), in this segment or a new one.
    ///
    /// Appending no more than that does not fail for lack of space, where the file system can allocate.
    ///
    /// - Parameter reserve: bytes that are to be free behind them, for what must be possible on a full device.
    /// - Throws: `.noSpace` on a full device, a quota or a limit on file sizes; nothing has changed then.
    mutating func ensureRoom(_ count: Int, reserve: Int = 0) throws(StoreError) {
        let end = cell.written.offset
        let most = File.sizeLimit
        if end + count + reserve <= cell.allocated, end + count <= most { return }
        let limit = min(journal.segmentByteCount, most)
        if cell.written.records == 0 || end + count + reserve <= limit {
            let (segment, needed) = (segment, count + reserve)
            let most = journal.segmentByteCount
            // The next cell tells the others.
            cell.allocated = try attempt("append to the journal", segment.path) {
                () throws(Errno) in
                try segment.file.allocateRoom(needed, from: end, upTo: most)
            }
            return
        }
        try rotate(room: count + reserve)
    }

    // MARK: Durable stores

    /// Puts records that were written on the device, without the lock, and then has them read.
    ///
    /// - Parameter end: behind the records.
    private mutating func publish(
        upTo end: JournalCell.End, _ number: UInt64
    ) throws(StoreError) {
        let segment = segment
        let inode = segment.inode
        journal.unlock()
        isHeld = false
        var failure: StoreError?
        do throws(StoreError) {
            try segment.sync()
        } catch {
            failure = error
        }
        do throws(StoreError) {
            try lockAgain()
        } catch {
            throw failure ?? .unknownAppend(number, journal.path(), error)
        }
        if self.segment.inode == inode {
            if cell.committed.records >= end.records {
                // Another process has published them, perhaps without having been told of the failure.
                if let failure { throw .unknownAppend(number, journal.path(), failure) }
                return
            }
            if let failure {
                do throws(StoreError) {
                    try abandonUncommitted()
                } catch {
                    // Another process may publish the records yet.
                    throw .unknownAppend(number, journal.path(), failure)
                }
                throw failure
            }
            var changed = cell
            changed.committed = end
            do throws(StoreError) {
                try commit(changed)
            } catch {
                // The next process that commits publishes them too.
                throw .unknownAppend(number, journal.path(), error)
            }
            hasNews = true
            return
        }
        let final: JournalCell
        do throws(StoreError) {
            guard let found = try segment.cell() else { throw .damagedSegment(segment.path) }
            final = found.cell
        } catch {
            throw .unknownAppend(number, journal.path(), error)
        }
        if final.committed.records >= end.records || !final.isClosed {
            if let failure { throw .unknownAppend(number, journal.path(), failure) }
            return
        }
        throw failure ?? .lostToFailedSync(number, segment.path)
    }

    private mutating func lockAgain() throws(StoreError) {
        try journal.lock(Limits.patience)
        isHeld = true
        adopt(try Self.lastSegment(of: journal))
    }

    /// Puts what other processes have written and not published yet on the device, and publishes it.
    mutating func settle() throws(StoreError) {
        guard cell.committed != cell.written else { return }
        try segment.sync()
        var changed = cell
        changed.committed = changed.written
        try commit(changed)
        hasNews = true
    }

    // MARK: One record

    /// The record of a number, published if it was only written; nil where it was trimmed away or is not there yet.
    mutating func record(_ number: UInt64) throws(StoreError) -> [UInt8]? {
        guard number > 0, number < next else { return nil }
        var holder = segment
        if number < segment.first {
            let directory = try journal.directory()
            let names = try Segment.all(in: directory, journal: journal.path())
            guard let first = names.last(where: { $0 <= number }),
                let older = try Segment.open(
                    first, in: directory, .read, journal: journal.path())
            else { return nil }
            holder = older
        } else if number - segment.first >= cell.committed.records {
            try settle()
        }
        guard let end = try holder.cell()?.cell.committed,
            number - holder.first < end.records
        else { return nil }
        let scan = SegmentScan(holder)
        scan.limit = end.offset
        while case .record(let frame, let payload) = try scan.next() {
            guard frame.number == number else { continue }
            return try scan.bytes(payload, frame.count)
        }
        throw .damagedRecord(number, at: scan.end.offset, in: holder.path, next: nil)
    }
}

extension SegmentScan {
    /// A part of the file, as far as it goes.
    func bytes(_ offset: Int, _ count: Int) throws(StoreError) -> [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(count)
        _ = try unsafe pieces(offset, count) { unsafe bytes.append(contentsOf: $0) }
        return bytes
    }
}
