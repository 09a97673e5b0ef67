internal import SystemCalls

/// What of a journal is kept at least.
package struct JournalLimits: Sendable {
    /// The newest records, so many.
    package var count: Int?
    /// Records that are younger.
    package var maxAge: Duration?
    /// The newest segments, so many bytes of them.
    package var maxBytes: Int?
    /// Everything from this number on.
    var from: UInt64?

    package init() {}
}

extension SegmentedJournal {
    /// Removes the oldest segments of which nothing is to be kept: a segment goes where any of the limits lets it go.
    ///
    /// So as much is kept as was asked for, and at most one segment more. The last segment goes only where nothing of
    /// it is to be kept; an empty one takes its place, and numbers go on. Killed anywhere it has removed some of them,
    /// the oldest ones; those who read them read on.
    ///
    /// - Throws: `.timedOut` after `patience` behind the process that has the journal's lock.
    func trim(_ limits: JournalLimits, patience: Duration) throws(StoreError) {
        guard let survey = try JournalSurvey(of: self) else { return }
        let excess = survey.excess(of: limits)
        guard !excess.isEmpty else { return }
        guard excess.count == survey.parts.count else {
            return try removeSegments(excess[...], patience: patience)
        }
        // The others first: on a full device that makes room for the one to begin.
        try removeSegments(excess.dropLast(), patience: patience)
        let last = excess[excess.count - 1]
        do {
            var held = try HeldJournal(self, patience: patience)
            let end = last.first + last.records
            // What was appended meanwhile stays. A segment that was closed already has a next one by now.
            guard held.segment.first == end || held.next == end else { return }
            if held.segment.first == last.first { try held.rotate(room: 0) }
        }
        try removeSegments([last], patience: patience)
    }

    /// Removes segments, the lock being taken for each: removing a large file takes milliseconds.
    private func removeSegments(
        _ parts: ArraySlice<JournalSurvey.Part>, patience: Duration
    ) throws(StoreError) {
        for part in parts {
            try lock(patience)
            defer { unlock() }
            // Another journal of that name may have been begun since, with another file of that number.
            guard let directory = try directoryForReading() else { return }
            let name = Layout.segment(part.first)
            try attempt("trim", path(name)) { () throws(Errno) in
                if try directory.status(of: name)?.inode == part.inode {
                    try directory.unlink(name)
                }
            }
        }
        guard files.isDurable, let directory = try directoryForReading() else { return }
        try attempt("synchronise", path()) { () throws(Errno) in try directory.sync() }
    }

    /// Removes the journal; false where there was none.
    ///
    /// Its segments go one by one, the oldest first: killed in between, it is a journal that was trimmed.
    func remove(patience: Duration) throws(StoreError) -> Bool {
        guard try directoryForReading() != nil else { return false }
        try lock(patience)
        do throws(StoreError) {
            try removeAll()
        } catch {
            unlock()
            throw error
        }
        unlock()
        tellFollowers()
        return true
    }

    private func removeAll() throws(StoreError) {
        guard let directory = try directoryForReading() else { return }
        defer { forgetDirectory() }
        let segments = try Segment.all(in: directory, journal: path())
        try closeLast(segments, in: directory)
        try attempt("remove", path()) { () throws(Errno) in
            // It may be a second name of the last segment, which then would not look removed.
            try directory.unlink(Layout.newSegment)
            for first in segments { try directory.unlink(Layout.segment(first)) }
            let journals = try files.root.openDirectory(Layout.journal)
            try journals.removeDirectory(name.directory)
            if files.isDurable { try journals.sync() }
        }
    }

    /// Closes the last segment, so that nothing is appended to it under another name: a copy by hard links, or the
    /// private one that a killed process has left.
    private func closeLast(_ segments: [UInt64], in directory: Directory) throws(StoreError) {
        // A damaged one is not appended to either, and is removed all the same.
        let opened = segments.last.flatMap {
            try? Segment.open($0, in: directory, .readWrite, journal: path())
        }
        guard let segment = opened, let found = try segment.cell(), !found.cell.isClosed else {
            return
        }
        var closed = found.cell
        closed.isClosed = true
        closed.committed = closed.written
        closed.sequence += 1
        try segment.write(closed, at: 1 - found.index)
    }

    /// Removes what a killed process left of a segment that it was making.
    func sweep() throws(StoreError) {
        guard let directory = try directoryForReading() else { return }
        let hasLeftover = try attempt("reap", path(Layout.newSegment)) { () throws(Errno) in
            try directory.status(of: Layout.newSegment) != nil
        }
        guard hasLeftover else { return }
        try lock(Limits.patience)
        defer { unlock() }
        _ = try attempt("reap", path(Layout.newSegment)) { () throws(Errno) in
            try directory.unlink(Layout.newSegment)
        }
    }
}

extension JournalSurvey {
    /// The oldest segments of which nothing is to be kept.
    fileprivate func excess(of limits: JournalLimits) -> [Part] {
        var excess: [Part] = []
        var bytes = self.bytes
        for part in parts where part.records > 0 {
            bytes -= part.bytes
            let end = part.first + part.records
            let rest = last + 1 - end
            let goes = [
                limits.count.map { rest >= UInt64(clamping: $0) },
                limits.maxBytes.map { bytes >= $0 },
                limits.maxAge.map { part.isOlder(than: $0) },
            ]
            guard goes.contains(true), limits.from.map({ end <= $0 }) ?? true else { break }
            excess.append(part)
        }
        return excess
    }
}

extension JournalSurvey.Part {
    /// Whether the last record, and with it all, is older than that.
    ///
    /// One that is dated in the future, but for a second, is older than any age: a clock was ahead, and its age is not
    /// known.
    fileprivate func isOlder(than age: Duration) -> Bool {
        let elapsed = clampedDifference(WallClock.microseconds, time)
        let limit = age.clampedMicroseconds
        return elapsed > limit || elapsed < -min(limit, 1_000_000)
    }
}
