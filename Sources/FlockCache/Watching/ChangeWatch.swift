// Watching: following the journal of changes, and what nobody else does while somebody watches.
//
// A watch reads records without a lock, and sleeps on the journal's word of the board. Once a second it looks at the
// blocks of the shards: the mark of a process that was killed has it take that shard's mutex, if it is free, and so
// tell of the change, also where nobody touches the key again. At the same time it ends leases whose time is over.
// Where the store cannot be written it only reads.
//
// What could break it: trimming (it reads on in what it has open, and is told where it cannot), a store that is
// removed or moved (an error), a wake-up that a killed process kept to itself (every sleep ends by itself, as all
// sleeps on the board do).

internal import SystemCalls

/// A change as `watch` tells of it.
package struct WatchedChange: Sendable {
    package let number: UInt64
    /// Microseconds since 1970, by the clock of the process that told of it.
    package let time: Int64
    package let event: ChangeEvent
    /// Of no bytes for `restarted`.
    package let key: Store.Key
    package let generation: Store.Generation
}

/// Follows the changes of a store, for one thread or task at a time.
package final class ChangeWatch: @unchecked Sendable {
    // Used by one thread at a time.
    private let session: Session
    private let prefix: [UInt8]
    let store: OpenStore
    private let reader: JournalReader
    /// When to look for what killed processes left, and for leases that are over.
    private var nextRound = BootTime(nanoseconds: 0)
    private var leases = WatchedLeases()
    /// Whether it may tell of what others have left.
    private let isWritable: Bool

    private static let betweenRounds = Duration.seconds(1)

    /// - Parameters:
    ///   - prefix: only changes of keys that begin with it, and `restarted`.
    ///   - start: the number to begin with; nil: what is told from now on.
    /// - Throws: `.badConfiguration` for a store that does not tell of its changes, or that is not there.
    package init(
        _ session: Session, prefix: Store.Key?, from start: UInt64?
    ) throws(StoreError) {
        guard let store = try session.existingNow(), let changes = store.changes else {
            throw .tellsNoChanges(session.path, isThere: try session.existing() != nil)
        }
        self.session = session
        self.store = store
        self.prefix = prefix?.bytes ?? []
        isWritable = !store.isReadOnly
        // Where this process may not write, or another is stopped in the middle of a record, the next change tells.
        if isWritable { try? changes.tellOfRestart() }
        var first = start
        if first == nil { first = try JournalSurvey(of: changes.journal).map { $0.last + 1 } }
        reader = JournalReader(changes.journal, from: first ?? 1)
        isChecked = start == nil
        if isWritable { leases = WatchedLeases(try store.leaseNames(session.newPass())) }
    }

    /// The number of the next change that is looked at.
    package var position: UInt64 { reader.number ?? 1 }

    /// Whether the number to begin with is known to be one that can be read from.
    private var isChecked: Bool

    /// The next change that is there already; nil where there is none.
    ///
    /// - Throws: `.trimmed`, `.invalidNumber`, `.damaged`.
    package func nextIfThere() throws(StoreError) -> WatchedChange? {
        while true {
            switch try step() {
            case .end: return nil
            case .noJournal:
                // Nothing was ever told; the only number to begin with is 1.
                guard position > 1 else { return nil }
                throw isChecked
                    ? .changesAreGone(store.path) : .changeBeyond(position, last: 0)
            case .record(let found):
                isChecked = true
                guard let record = ChangeRecord(try reader.bytes(of: found)) else {
                    throw .unknownChange(found.number, store.path)
                }
                leases.note(record)
                let key = record.key
                guard key?.bytes.starts(with: prefix) ?? true else { continue }
                return WatchedChange(
                    number: found.number, time: found.time, event: record.event,
                    key: key ?? Store.Key([]), generation: record.generation)
            }
        }
    }

    private func step() throws(StoreError) -> JournalReader.Step {
        let position = position
        do throws(StoreError) {
            return try reader.next()
        } catch {
            // What is said of journals names one that users do not know.
            guard error.code == .trimmed || error.code == .invalidNumber,
                let changes = store.changes, let survey = try JournalSurvey(of: changes.journal)
            else { throw error }
            throw error.code == .trimmed
                ? .changeIsTrimmed(position, first: survey.first)
                : .changeBeyond(position, last: survey.last)
        }
    }

    /// The next change, waiting for it at most that long; nil where the wait ended.
    ///
    /// - Parameter whileWaiting: called about once a second while nothing comes.
    package func next(
        waiting: Duration?, whileWaiting: () throws(StoreError) -> Void = {}
    ) throws(StoreError) -> WatchedChange? {
        let span = WaitSpan(waiting)
        var pause = Pause(shortest: 1_000_000, longest: 15_000_000, yields: 0)
        while true {
            if let change = try nextIfThere() { return change }
            if try goRound() { try whileWaiting() }
            // The order that loses no wake-up: announce, look, sleep.
            let wait = BoardWait(
                .journal(.changes), bits: JournalName.changes.wakeBits,
                on: store.board.forWaiting())
            if let change = try nextIfThere() { return change }
            guard !span.isOver else { return nil }
            let end = min(span.deadline, nextRound)
            let soon = BootTime.now.advanced(by: .nanoseconds(WaitSpan.untilNextLook()))
            wait.sleep(until: wait.hasBoard ? min(end, soon) : pause.nextEnd(until: end))
        }
    }

    /// When to go round again.
    var nextDue: BootTime { nextRound }

    /// Once a second, tells of what killed processes have changed, and ends leases that are over; true where it was
    /// time for that.
    func goRound() throws(StoreError) -> Bool {
        guard nextRound <= BootTime.now else { return false }
        nextRound = BootTime.now.advanced(by: Self.betweenRounds)
        if store.isRemoved || store.files.isElsewhere { throw .watchedStoreIsGone(store.path) }
        guard isWritable, let changes = store.changes else { return true }
        // What is in the way of one shard or lease is so for whoever changes it, who is told.
        changes.recoverMarkedShards()
        leases.endThoseOver(in: session)
        // What was changed is told in the journal, and the wait goes on: a signal is to end it.
        unsafe Store.betweenChanges?()
        return true
    }
}

/// The leases of a store that are granted, and when each is to be looked at.
private struct WatchedLeases {
    private var due: [EntryName: BootTime] = [:]

    init() {}

    init(_ names: [EntryName]) {
        for name in names { due[name] = BootTime(nanoseconds: 0) }
    }

    /// Takes note of what a change says of a lease.
    mutating func note(_ record: ChangeRecord) {
        guard record.event == .leased,
            let name = EntryName(shard: record.shard, encoded: record.name)
        else { return }
        due[name] = BootTime(nanoseconds: 0)
    }

    /// Ends the leases that are over, and finds out when to look at the others.
    mutating func endThoseOver(in session: Session) {
        let now = BootTime.now
        // The keys first: looking changes what is due.
        for name in due.filter({ $0.value <= now }).map(\.key) {
            do throws(StoreError) {
                due[name] = try session.expireLease(name, patience: .zero).map {
                    now.advanced(by: .microseconds($0))
                }
            } catch {
                // Busy, or it cannot be read: whoever takes it is told.
                due[name] = now.advanced(by: .seconds(error.code == .timedOut ? 0 : 10))
            }
        }
    }
}
