internal import SystemCalls

/// How much of the journal of changes is kept at least.
struct ChangeLimits {
    /// Bytes of its segments.
    var bytes = Limits.changes
    /// Nobody asks for changes that are older.
    var age: Duration?
}

extension ChangeJournal {
    /// Removes the oldest changes, by whole segments, and keeps at least what the limits say.
    ///
    /// What killed processes have left to tell is told first, as far as that needs no waiting.
    func trim(to limits: ChangeLimits) throws(StoreError) {
        guard let survey = try JournalSurvey(of: journal), survey.parts.count > 1 else { return }
        recoverMarkedShards()
        var end = try HeldJournal(journal, patience: Self.patience)
        try trim(&end, to: limits)
    }

    /// The same under the journal's lock.
    ///
    /// A record whose number the intent of a marked shard names stays, and all behind it: whoever recovers that
    /// shard looks for it. Nobody notes a number meanwhile, and later ones are higher.
    func trim(_ end: inout HeldJournal, to limits: ChangeLimits) throws(StoreError) {
        guard let survey = try JournalSurvey(of: journal),
            let directory = try journal.directoryForReading()
        else { return }
        let named = try lowestNamed()
        var bytes = survey.bytes
        for part in survey.parts.dropLast() {
            let isOld = limits.age.map { ValueSection.isOld(part.time, than: $0) } ?? false
            guard bytes - part.bytes >= limits.bytes || isOld,
                named.map({ $0 >= part.first + part.records }) ?? true
            else { return }
            try attempt("trim", journal.path(Layout.segment(part.first))) { () throws(Errno) in
                _ = try directory.unlink(Layout.segment(part.first))
            }
            bytes -= part.bytes
        }
    }

    /// The lowest number that the intent of a marked shard names.
    private func lowestNamed() throws(StoreError) -> UInt64? {
        guard let file = try shards.fileForReading() else { return nil }
        let intents = try intents()
        var lowest: UInt64?
        for (shard, block) in try file.readAll().enumerated() where block?.changer != 0 {
            guard let number = try intents.read(shard)?.number, number > 0 else { continue }
            lowest = min(lowest ?? number, number)
        }
        return lowest
    }
}
