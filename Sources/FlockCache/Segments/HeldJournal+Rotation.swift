internal import SystemCalls

// From one segment to the next.

extension HeldJournal {
    /// Closes the segment and begins the next one.
    ///
    /// First the next one is made under a private name, so that a full device leaves everything as it is; then this one
    /// is closed, for ever; then the next one gets its name, which the closed one tells: its first number and how many
    /// records it has. Killed in between, the next append makes it. The other order would leave two segments that both
    /// could take a record of one number.
    ///
    /// - Parameter room: what the new one has room for at least.
    mutating func rotate(room: Int) throws(StoreError) {
        do throws(StoreError) {
            // In every store, so that a power cut takes records from the end of a journal and not from its middle.
            try segment.sync()
        } catch {
            if journal.files.isDurable {
                // Processes that wait for records behind the committed end are told that they are not there.
                try abandonUncommitted(room: room)
                return
            }
            // Nothing was promised here. A reader will be told of a record that is damaged.
        }
        try begin(behind: cell.written, room: room)
    }

    /// Closes the segment at its committed end, after a sync has failed, and begins another.
    ///
    /// What lies behind that end may be on the device or not, and the kernel tells of the failure only once: no later
    /// sync of this file proves anything. Processes that wait to publish records of theirs there find it closed.
    mutating func abandonUncommitted(room: Int = 0) throws(StoreError) {
        try begin(behind: cell.committed, room: room)
    }

    private mutating func begin(behind end: JournalCell.End, room: Int) throws(StoreError) {
        let first = segment.first + end.records
        let fresh = try NewSegment(
            first, in: journal, try journal.directory(), try journal.files.place().boot, room: room)
        var closed = cell
        closed.isClosed = true
        closed.committed = end
        closed.written = end
        try commit(closed)
        hasNews = true
        // A segment without a record that could be read has the name that the next one gets.
        adopt(try fresh.publish(replacing: end.records == 0))
    }

    mutating func adopt(_ open: Open) {
        segment = open.segment
        cell = open.cell
        index = open.index
    }
}
