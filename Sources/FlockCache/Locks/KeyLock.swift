// Locks: exclusion for as long as a process holds it and lives.
//
//   asking → queued → held → over
//
// Several keys are taken in the order of their bytes, all or nothing; a wait against that order is refused
// (`HeldKeys`, `InheritedLocks`), because it could deadlock.

internal import SystemCalls

/// One key's lock, from being asked for to its release.
///
/// The lock is a byte of the lock table, and belongs to an open file of its own, so threads exclude one
/// another as processes do. Those who wait stand in one queue (`TicketQueue`) in the order in which they came,
/// readers and writers alike; only the first in it tries to take the lock. So a writer is not overtaken by readers
/// that come later, and what is released wakes one waiter and not all of them.
///
/// What could break it, and what then happens:
/// - Somebody is killed, holding the lock or first in the queue: the kernel frees both, and somebody looks
///   again after 55 ms at the latest.
/// - Somebody is stopped in the queue while the lock is free: it is passed (`TicketQueue`).
/// - A wake-up is lost, or the board: the same look.
/// - The file is removed: a lock counts only if its file still has a name; otherwise it is opened anew, and those in
///   the queue move to it one after the other.
///
/// Used by one thread at a time.
final class KeyLock: @unchecked Sendable {
    let name: LockName
    let mode: HeldLock.Mode
    let store: OpenStore
    let table: LockTable
    private(set) var board: Board?
    private var file: LockFile?
    private var state: State
    private var queue: TicketQueue
    /// Since when it is asked for.
    private let start: BootTime
    /// Whether the file has no lock but the one that is held.
    private var isReusable = true
    var note: LockNote?
    /// What stood on the board when the lock was got.
    var former: LockNote?

    private enum State {
        case asking, queued
        case held(slot: Int)
        case over
    }

    /// Takes the lock if nobody waits for it and it is free: the way of most, in three system calls.
    ///
    /// - Parameter start: since when it is asked for: about now; reading the clock again would take time.
    init(
        _ name: LockName, _ mode: HeldLock.Mode, in store: OpenStore, at start: BootTime
    ) throws(StoreError) {
        let table = try store.locks.open()
        let board = store.board.forWaiting()
        let file = try table.take(for: name)
        let queue = TicketQueue(name.queue, isLocal: store.isLocal, board: board)
        let slot = try attempt("lock", table.file(of: name)) { () throws(Errno) in
            try queue.isEmpty(file) ? try file.lock(name, mode) : nil
        }
        self.name = name
        self.mode = mode
        self.store = store
        self.table = table
        self.board = board
        self.queue = queue
        self.start = start
        self.file = consume file
        state = slot.map { .held(slot: $0) } ?? .asking
        if let slot { takeNote(slot, since: start) }
    }

    deinit { end() }

    /// Which of a lock's slots is held, 0 of one that has none; nil where it is not held.
    var slot: Int? { if case .held(let slot) = state { slot } else { nil } }
    var identity: StoreIdentity { store.files.identity }
    var hasSlots: Bool { if case .slots = mode { true } else { false } }
    /// How it is held, as programs that are run read it.
    var modeText: [UInt8] {
        switch mode {
        case .exclusive: [UInt8(ascii: "x")]
        case .shared: [UInt8(ascii: "s")]
        case .slots: Array(String(slot ?? 0).utf8)
        }
    }

    // MARK: Taking it

    /// Takes the lock if that can be done now, without queueing.
    ///
    /// Not before those who wait: they were here first. But a lock that nobody has taken for a while, though it is
    /// free, is that of a queue whose first is stopped. Without a board that cannot be told, and what is free is
    /// taken.
    func tryOnce() throws(StoreError) -> Bool {
        if slot != nil { return true }
        while true {
            if let board, try !isQueueEmpty() {
                guard try isFree(), !board.hasJustBeenFreed(queue.name) else { return false }
            }
            switch try take() {
            case .taken: return true
            case .busy: return false
            case .moved: continue
            }
        }
    }

    /// Goes on as far as possible without sleeping; nil when the lock is held.
    ///
    /// - Parameter isLate: whether the last sleep ended by itself.
    func step(isLate: Bool) throws(StoreError) -> QueueRest? {
        if case .held = state { return nil }
        useBoardOfNow()
        if case .asking = state { try join() }
        var isLate = isLate
        while true {
            if try isFirst() {
                switch try take() {
                case .taken: return nil
                case .busy: return queue.rest()
                case .moved: continue
                }
            }
            guard queue.isSuspicious(afterNap: isLate), try pass() else { return queue.rest() }
            isLate = false
        }
    }

    private enum Attempt { case taken, busy, moved }

    /// Takes the lock if it is free for this mode, and leaves the queue.
    private func take() throws(StoreError) -> Attempt {
        var slot: Int?
        _ = try locking { () throws(Errno) in
            slot = try file?.lock(name, mode) ?? nil
            return slot != nil
        }
        guard let slot else {
            guard try !locking({ () throws(Errno) in try file?.status().links != 0 }) else {
                return .busy
            }
            try move()
            return .moved
        }
        leaveQueue(wakingNext: mode != .exclusive)
        state = .held(slot: slot)
        takeNote(slot, since: BootTime.now)
        return .taken
    }

    /// Opens the file anew, which was removed under us: locks of the former exclude nobody who comes now.
    private func move() throws(StoreError) {
        guard case .queued = state, let former = file.take() else {
            file = try table.open(for: name)
            return
        }
        let fresh = try table.open(for: name)
        do throws(Errno) {
            file = try queue.move(from: former, to: fresh)
        } catch {
            throw StoreError(error, "lock", path: path)
        }
    }

    // MARK: The queue

    private func join() throws(StoreError) {
        state = .queued
        _ = try locking { () throws(Errno) in
            try file?.with { (file) throws(Errno) in try queue.join(file, since: start) }
            return true
        }
    }

    private func isQueueEmpty() throws(StoreError) -> Bool {
        try locking { () throws(Errno) in
            try file?.with { (file) throws(Errno) in try queue.isEmptyBehindPassed(file) } ?? true
        }
    }

    private func isFirst() throws(StoreError) -> Bool {
        try locking { () throws(Errno) in
            try file?.with { (file) throws(Errno) in try queue.isFirst(file) } ?? false
        }
    }

    /// Whether the one in front was passed, because it does not take the lock though it is free.
    private func pass() throws(StoreError) -> Bool {
        let isFree = try isFree()
        return try locking { () throws(Errno) in
            try file?.with { (file) throws(Errno) in
                try queue.hasPassed(file, isFree: isFree)
            } ?? false
        }
    }

    /// Leaves the queue.
    ///
    /// Who has taken the lock for itself alone wakes nobody: nobody could take it. Everybody else does, because a
    /// wake-up may have been meant for it, or the next one may have the lock too.
    private func leaveQueue(wakingNext: Bool) {
        guard case .queued = state else { return }
        file?.with { file in
            if !queue.leave(file) { isReusable = false }
            if wakingNext { queue.wakeOldest(file) }
        }
    }

    /// A board may be lost, and another made, while one waits.
    private func useBoardOfNow() {
        let current = store.board.forWaiting()
        guard current !== board else { return }
        board = current
        queue.use(current)
    }

    /// Whether nobody at all holds the lock, or one of its slots is free.
    private func isFree() throws(StoreError) -> Bool {
        let count = if case .slots(let count) = mode { count } else { 1 }
        return try locking { () throws(Errno) in
            for index in 0..<count {
                if try file?.isLockedByOthers(at: name.byte + index) != true { return true }
            }
            return false
        }
    }

    private func locking(_ body: () throws(Errno) -> Bool) throws(StoreError) -> Bool {
        try attempt("lock", table.file(of: name), body)
    }

    // MARK: Its end

    /// Runs a closure with the file of a lock that is held; nil where it is not.
    func withHeldFile<R>(_ body: (borrowing LockFile) throws(Errno) -> R) throws(Errno) -> R? {
        guard case .held = state, store.epoch == ForkEpoch.current else { return nil }
        return try file?.with(body)
    }

    /// The path of the lock's file, for messages.
    var path: String { table.file(of: name) }

    /// Gives the lock up, or the attempt; twice is fine.
    func end() {
        guard store.epoch == ForkEpoch.current else { return }
        switch state {
        case .over: return
        case .held(let slot):
            if mode != .shared { takeNoteAway(slot) }
            file?.with { leaveNoteForOthers($0) }
            if let file = file.take(), file.unlock(at: name.byte + slot) {
                let isLast = mode == .shared ? leaveNote(file) : true
                if isLast { wakeNext(file) }
                if isReusable { table.giveBack(file, for: name) }
            }
        case .asking, .queued:
            leaveQueue(wakingNext: true)
            file = nil
        }
        state = .over
    }

    /// Wakes who is first in the queue, if anybody waits, after the lock was released.
    ///
    /// It had its ticket's byte locked before it tried the lock in vain, so it is seen; who locks one later tries
    /// later.
    private func wakeNext(_ file: borrowing LockFile) {
        guard let board, board.isWaitedFor(queue.name) else { return }
        board.noteFreed(queue.name)
        queue.wakeOldest(file)
    }

    /// Keeps the lock in the program that this process is about to execute.
    func keepThroughExecution() throws(StoreError) {
        try attempt("keep the lock", table.file(of: name)) {
            () throws(Errno) in try file?.keepThroughExecution()
        }
    }
}
