// Journals: appending to journals, reading, following and trimming them, as a session does it.
//
// The engine is `Segments`. Here are: what is done again when the store was removed meanwhile, waiting for records (a
// thread on the board's word of the journal, tasks by `JournalTickets`), and large records, which are written to a file
// of their own first, because reading them may take as long as their writer likes (`RecordSpool`).
//
// States of a follower: reading, at the end (waiting), over (the journal was removed). What could break it: a wake-up
// that is lost (the order of `JournalPosition`, and a look every 95 ms), no board (looks every 15 ms at most), a journal
// that is trimmed under it (it reads on what it has open, then is told).

internal import SystemCalls

/// What a journal has.
package struct JournalSummary: Sendable {
    package let name: Store.Key
    /// The first record that is kept; without any, the one that comes next.
    package let first: UInt64
    /// The last record; one less than `first` where none is kept.
    package let last: UInt64
    package let bytes: Int
}

extension Session {
    /// Appends a record and returns its number.
    package func append(
        _ record: UnsafeRawBufferPointer, to name: Store.Key, patience: Duration = Limits.patience
    ) throws(StoreError) -> UInt64 {
        guard record.count <= Limits.record else { throw .recordTooLarge(name) }
        return try appending(to: name, patience) { (held) throws(StoreError) in
            try unsafe held.append(record)
        }
    }

    /// Appends records next to one another, all or none, and returns their numbers.
    ///
    /// - Parameter batch: not empty, of records that are not too large.
    package func append(
        _ batch: JournalBatch, to name: Store.Key, patience: Duration = Limits.patience
    ) throws(StoreError) -> ClosedRange<UInt64> {
        try appending(to: name, patience) { (held) throws(StoreError) in try held.append(batch) }
    }

    func appending<R>(
        to name: Store.Key, _ patience: Duration,
        _ body: (inout HeldJournal) throws(StoreError) -> R
    ) throws(StoreError) -> R {
        let name = try JournalName(name)
        return try withStore(nil) { (store) throws(StoreError) in
            var held = try HeldJournal(store.journals.journal(name), patience: patience)
            unsafe Store.beforeChange?()
            return try body(&held)
        }
    }

    /// A reader of a journal, from a number on; nil where there is no journal.
    ///
    /// - Parameter isBounded: whether it ends with what is there now.
    package func readJournal(
        _ name: Store.Key, from number: UInt64?, isBounded: Bool
    ) throws(StoreError) -> JournalReader? {
        guard let store = try journalStore(name) else { return nil }
        let reader = JournalReader(
            store.journals.journal(try JournalName(name)), from: number, isBounded: isBounded)
        return try reader.begin() ? reader : nil
    }

    /// The numbers that are kept; nil where nothing is.
    func keptRecords(of name: Store.Key) throws(StoreError) -> ClosedRange<UInt64>? {
        guard let store = try journalStore(name) else { return nil }
        return try JournalSurvey(of: store.journals.journal(try JournalName(name)))?.kept
    }

    /// Drops the oldest records; see `SegmentedJournal.trim`.
    package func trimJournal(
        _ name: Store.Key, _ limits: JournalLimits, patience: Duration = Limits.patience
    ) throws(StoreError) {
        guard let store = try journalStore(name) else { return }
        try store.checkWritable("trim the journal", name)
        try store.journals.journal(try JournalName(name)).trim(limits, patience: patience)
    }

    /// Removes a journal; false where there was none.
    package func removeJournal(
        _ name: Store.Key, patience: Duration = Limits.patience
    ) throws(StoreError) -> Bool {
        guard let store = try journalStore(name) else { return false }
        try store.checkWritable("remove the journal", name)
        return try store.journals.journal(try JournalName(name)).remove(patience: patience)
    }

    /// All journals, in the order of their encoded names.
    ///
    /// One that cannot be read is named, passed over, and the pass fails at its end.
    package func listJournals(
        _ body: (JournalSummary) throws(StoreError) -> Void
    ) throws(StoreError) {
        guard let store = try existingNow() else { return }
        let pass = newPass()
        for name in try store.journals.names(ofUsersOnly: true) {
            let found = try pass.record { () throws(StoreError) in
                try JournalSurvey(of: store.journals.journal(name))
            }
            guard let survey = found ?? nil else { continue }
            try body(
                JournalSummary(
                    name: name.key, first: survey.first, last: survey.last, bytes: survey.bytes))
        }
        try pass.finish()
    }

    /// The store as it is now, for reading a journal of that name; nil where there is none.
    private func journalStore(_ name: Store.Key) throws(StoreError) -> OpenStore? {
        _ = try JournalName(name)
        return try existingNow()
    }
}

extension OpenStore {
    fileprivate func checkWritable(_ operation: String, _ name: Store.Key) throws(StoreError) {
        if isReadOnly {
            throw StoreError(Errno.readOnly, operation, path: path, key: name)
        }
    }
}
