// Changes: changes of shards, and telling of each of them exactly once.
//
// A change in a store with a journal of changes (`init --journal`), under the shard's mutex:
//
//   recover      where the mark of a killed process is found, before anything else (`KilledChange`)
//   announce     room in the journal; the intent is written
//   begin        the mark
//   …            the operations on files
//   tell         the journal's lock; the intent gets the number that the record will have; the record
//   clear        counts, mark
//
// The intent describes the change that the mark is of. Killed before the mark: nothing happened, and the intent is
// nobody's. Between mark and number: the files tell whether it happened. Behind the number: the record of that
// number is the change's own, or the change is not told yet; both are seen under the journal's lock, where the
// number was written.
//
// In a store without such a journal `begin` and `commit` pay one branch.
//
// What could break it: a stopped process under the journal's lock, or a device that is full or fails, after the
// change was made (it stays marked, and the next one in the shard tells of it first or is refused), trimming (a
// record whose number an intent of a marked shard names stays), another boot or a copy (`restarted` is told before
// anything else), a program of an older version (the marker's version keeps it out).
//
// Order of locks: the mutex of a shard, then the journal's; never another shard's.

internal import SystemCalls

/// The journal of a store's changes, as one process has it open.
final class ChangeJournal: Sendable {
    let shards: Shards
    let files: StoreFiles
    let journal: SegmentedJournal
    private let onDelay: (@Sendable (StoreError) -> Void)?

    private struct State {
        var intents: IntentFile?
        /// The last segment, as far as this process has appended to the journal.
        var segment: Segment?
        /// Whether `restarted` is known to be told for this boot.
        var isRestartTold = false
    }

    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var state = State()

    private func withState<R>(_ body: (inout State) -> R) -> R {
        mutex.locked(0) { unsafe body(&state) }
    }

    init(
        _ shards: Shards, _ locks: LockTableAccess,
        segmentByteCount: Int = segmentByteCountOfTests ?? Limits.changesSegment,
        onDelay: (@Sendable (StoreError) -> Void)?
    ) {
        self.shards = shards
        files = shards.files
        journal = SegmentedJournal(
            .changes, of: shards.files, locks, shards.board,
            segmentByteCount: segmentByteCount)
        self.onDelay = onDelay
    }

    /// How long a change waits for the journal's lock, which is held for microseconds: less than others wait for
    /// the mutex of the shard that is held meanwhile.
    static let patience = Duration.seconds(2)

    /// What changes that free room may still use: records of 50 shards at once.
    static let reserve = 16 << 10

    func intents() throws(StoreError) -> IntentFile {
        if let known = withState({ $0.intents }) { return known }
        let fresh = try IntentFile(of: files)
        return withState { state in
            if let known = state.intents { return known }
            state.intents = fresh
            return fresh
        }
    }

    /// The file of intents that has the name now: nobody would read what is written to one that was removed.
    func currentIntents() throws(StoreError) -> IntentFile {
        let known = try intents()
        if try known.isLinked() { return known }
        withState { state in
            if state.intents === known { state.intents = nil }
        }
        return try intents()
    }

    // MARK: A change

    /// Writes what a change is about to do; the caller has the shard's mutex, and sets its mark next.
    ///
    /// - Returns: what is to be told when it is done.
    /// - Throws: where there would be no room to tell of it. Nothing has happened then.
    func announce(_ intended: Intent, of shard: Int) throws(StoreError) -> Intent {
        let intents = try currentIntents()
        let former = try intents.read(shard)
        // One that says so already: nothing is told of either.
        if intended.kind == .untold, let former, former.kind == .untold { return former }
        if !intended.events.isEmpty { try ensureRoom(for: intended) }
        var intent = intended
        intent.counter = (former?.counter ?? 0) &+ 1
        try intents.write(intent, of: shard)
        return intent
    }

    /// Has room in the journal for a change's events, before its first step.
    ///
    /// Of the last segment that this process has used, its cell tells whether there is room, without the lock. As
    /// many as change shards at once may count on the same room: then the last of them finds none when its change
    /// was made, and it is told as soon as there is.
    private func ensureRoom(for intent: Intent) throws(StoreError) {
        let size = Self.size(of: intent.records(of: 0))
        let reserve = intent.freesRoom ? 0 : Self.reserve
        if let segment = withState({ $0.segment }), let cell = try segment.cell()?.cell,
            !cell.isClosed, cell.written.offset + size + reserve <= cell.allocated
        {
            return
        }
        var end = try HeldJournal(journal, patience: Self.patience)
        try end.ensureRoom(size, reserve: reserve)
        note(end.segment)
    }

    private static func size(of records: [[UInt8]]) -> Int {
        // The counter may be longer than it was when room was asked for.
        records.reduce(0) { $0 + JournalFrame.size(of: $1.count) + 20 }
    }

    private func note(_ segment: Segment) { withState { $0.segment = segment } }

    /// Tells of a change that was made; returns why that has to wait, where it has, and the mark must stay.
    func tellNow(_ intent: Intent, of shard: Int) -> StoreError? {
        guard !intent.events.isEmpty else { return nil }
        do throws(StoreError) {
            try tell(intent, of: shard, patience: Self.patience)
            return nil
        } catch {
            // If this fails too, the next holder of the mutex sees from the files what happened: nobody changes them
            // before it is told.
            try? remember(intent, of: shard)
            onDelay?(.changeIsUntold(error))
            return error
        }
    }

    /// Notes that a change has happened that cannot be told yet: a lease may be renewed meanwhile, and then its
    /// cell tells no more.
    func remember(_ intent: Intent, of shard: Int) throws(StoreError) {
        guard intent.number == 0, !intent.hasHappened else { return }
        // Telling may have noted a number, and failed behind that.
        guard let found = try intents().read(shard), found.number == 0 else { return }
        var intent = intent
        intent.hasHappened = true
        try intents().write(intent, of: shard)
    }

    /// Tells of a change unless that was done before.
    func tell(_ intent: Intent, of shard: Int, patience: Duration) throws(StoreError) {
        let intents = try intents()
        var end = try HeldJournal(journal, patience: patience)
        if intent.number != 0, try isTold(intent, of: shard, &end) { return }
        try tellOfRestart(&end)
        let records = intent.records(of: shard)
        // The number is that of the next record only when no other segment has to be begun.
        try end.ensureRoom(Self.size(of: records))
        let beginsSegment = end.next == end.segment.first
        var noted = intent
        noted.number = end.next
        try intents.write(noted, of: shard)
        _ = try end.append(records)
        // Where this fails, the next who begins a segment trims.
        if beginsSegment { try? trim(&end, to: ChangeLimits()) }
        note(end.segment)
    }

    /// Whether the record of the number that an intent names is its own.
    private func isTold(
        _ intent: Intent, of shard: Int, _ end: inout HeldJournal
    ) throws(StoreError) -> Bool {
        // No more than the number was written.
        guard intent.number < end.next else { return false }
        guard let bytes = try contents(of: intent.number, &end) else { return false }
        // Trimmed: numbers that the intent of a marked shard names are not, but for a told one's.
        if bytes.isEmpty { return true }
        guard let record = ChangeRecord(bytes) else { return false }
        return record.shard == shard && record.counter == intent.counter
    }

    /// A record; empty where it was trimmed away, nil where the device has lost it.
    private func contents(
        of number: UInt64, _ end: inout HeldJournal
    ) throws(StoreError) -> [UInt8]? {
        do throws(StoreError) {
            return try end.record(number) ?? []
        } catch {
            guard error.code == .damaged else { throw error }
            return nil
        }
    }

    // MARK: Restarts

    /// Tells that the machine was restarted, or that this is a copy, unless that was done before or nothing was
    /// ever told.
    func tellOfRestart() throws(StoreError) {
        guard files.isLocal, !withState({ $0.isRestartTold }),
            try JournalSurvey(of: journal) != nil
        else { return }
        var end = try HeldJournal(journal, patience: Self.patience)
        try tellOfRestart(&end)
    }

    /// On a network file system each host has a boot id of its own, and nothing is told.
    private func tellOfRestart(_ end: inout HeldJournal) throws(StoreError) {
        guard files.isLocal, !withState({ $0.isRestartTold }) else { return }
        let intents = try intents()
        let boot = try files.place().boot
        var header = IntentHeader(
            device: intents.identity.device, inode: intents.identity.inode, boot: boot, number: 0,
            isTold: true)
        let found = try intents.readHeader()
        let isOurs = found.map {
            $0.boot == boot && $0.device == header.device && $0.inode == header.inode
        }
        if isOurs != true || found?.isTold != true {
            let record = ChangeRecord.restarted(boot)
            if isOurs == true, let number = found?.number, number < end.next,
                try contents(of: number, &end) == record
            {
                // Whoever told it was killed behind that.
                header.number = number
            } else if found != nil || end.next > 1 {
                try end.ensureRoom(JournalFrame.size(of: record.count))
                header.number = end.next
                header.isTold = false
                try intents.write(header)
                _ = try end.append([record])
            }
            header.isTold = true
            try intents.write(header)
        }
        withState { $0.isRestartTold = true }
    }
}
