// Locks: exclusion for as long as a process holds it and lives.
//
//   asking → queued → first (has the turnstile) → held → over
//
// Several keys are taken in the order of their bytes, all or nothing; a wait against that order is refused
// (`HeldKeys`, `InheritedLocks`), because it could deadlock.

internal import SystemCalls

/// One key's lock, from being asked for to its release.
///
/// The lock is a byte of the lock table, and belongs to an open file of its own, so threads exclude one
/// another as processes do. Those who wait stand in one queue, readers and writers alike: each lock has a
/// second byte, its *turnstile*. Only who has the turnstile waits for the lock itself, everybody else
/// waits for the turnstile. So a writer that waits is not overtaken by readers that come later, and what is
/// released wakes one waiter and not all of them.
///
/// What could break it, and what then happens:
/// - Somebody is killed, holding the lock or the turnstile: the kernel frees both, and whoever waits looks
///   again after 55 ms at the latest.
/// - Somebody is stopped at the turnstile while the lock is free: who has waited in vain for that long
///   takes the lock if nobody at all holds it.
/// - A wake-up is lost, or the board: the same look.
/// - The file is removed: a lock counts only if its file still has a name; otherwise it is opened anew.
///
/// Used by one thread at a time.
final class KeyLock: @unchecked Sendable {
    let name: LockName
    let mode: HeldLock.Mode
    let store: OpenStore
    let table: LockTable
    let board: Board?
    private var file: LockFile?
    private var state: State
    /// Whether the file has no lock but the one that is held.
    private var isReusable = true
    var note: LockNote?
    /// What stood on the board when the lock was got.
    var former: LockNote?

    private enum State {
        case asking
        /// Waits for the turnstile.
        case queued
        /// Has the turnstile, and waits for the lock.
        case first
        case held(slot: Int)
        case over
    }

    /// Takes the lock if nobody waits for it and it is free: the way of most, in three system calls.
    ///
    /// - Parameter start: about now; reading the clock again would take time.
    init(
        _ name: LockName, _ mode: HeldLock.Mode, in store: OpenStore, at start: BootTime
    ) throws(StoreError) {
        let table = try store.locks.open()
        let board = store.board.forWaiting()
        let file = try table.take(for: name)
        let slot = try attempt("lock", table.file(of: name)) { () throws(Errno) in
            try Self.isQueueEmpty(name, file, board) ? try file.lock(name, mode) : nil
        }
        self.name = name
        self.mode = mode
        self.store = store
        self.table = table
        self.board = board
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
    func tryOnce() throws(StoreError) -> Bool {
        if slot != nil { return true }
        // Not before those who wait: they were here first. But one who is stopped keeps nobody out.
        return try isFree() ? try take() : false
    }

    /// Goes on as far as possible without sleeping; nil when the lock is held.
    ///
    /// - Parameter isLate: whether the last sleep ended by itself.
    func step(isLate: Bool) throws(StoreError) -> LockRest? {
        switch state {
        case .held: return nil
        case .asking:
            state = .queued
            board?.join(.lock(name))
        case .queued, .first, .over: break
        }
        if case .queued = state {
            let wait = BoardWait(.lock(name), bits: name.turnstileBits, on: board)
            guard try tryTurnstile() else {
                if isLate, try isFree(), try take() { return nil }
                return rest(wait, name.turnstileBits)
            }
            state = .first
        }
        let wait = BoardWait(.lock(name), bits: name.lockBits, on: board)
        if try take() { return nil }
        return rest(wait, name.lockBits)
    }

    /// How long the longest sleep is, in nanoseconds: it bounds what a killed waiter or holder, whose death
    /// nobody tells of, costs the others.
    ///
    /// With jitter, so that those who began together do not go on together. A waiter that nobody wakes takes
    /// 0.2 % of a core, most of it for waking up.
    private static func nap() -> Int64 { 40_000_000 + BootTime.now.nanoseconds % 15_000_000 }

    private func rest(_ wait: BoardWait, _ bits: UInt32) -> LockRest {
        // Without a board nobody can be woken.
        let nap = board == nil ? Int64.random(in: 500_000...5_000_000) : Self.nap()
        return LockRest(
            wait, name, bits: bits, end: BootTime.now.advanced(by: .nanoseconds(nap)))
    }

    /// Takes the lock if it is free for this mode, and lets the next one to the turnstile.
    private func take() throws(StoreError) -> Bool {
        var slot: Int?
        _ = try locking { () throws(Errno) in
            slot = try file?.lock(name, mode) ?? nil
            return slot != nil
        }
        guard let slot else {
            // Removed under us: locks of that file exclude nobody who comes now.
            if try !locking({ () throws(Errno) in try file?.status().links != 0 }) {
                file = try table.open(for: name)
                if case .first = state { state = .queued }
            }
            return false
        }
        leaveQueue()
        state = .held(slot: slot)
        takeNote(slot, since: BootTime.now)
        return true
    }

    // MARK: The turnstile

    @inline(__always)
    private static func isQueueEmpty(
        _ name: LockName, _ file: borrowing LockFile, _ board: Board?
    ) throws(Errno) -> Bool {
        if let board, !board.isWaitedFor(.lock(name)) { return true }
        return try !file.isLockedByOthers(at: name.turnstile)
    }

    private func tryTurnstile() throws(StoreError) -> Bool {
        try locking { () throws(Errno) in
            try file?.tryLock(.exclusive, at: name.turnstile) == true
        }
    }

    /// Whether nobody at all holds the lock, or one of its slots is free.
    ///
    /// Where somebody waits at the turnstile and runs, that lasts for microseconds.
    private func isFree() throws(StoreError) -> Bool {
        if case .slots = mode { return true }
        return try locking { () throws(Errno) in try file?.isLockedByOthers(at: name.byte) != true }
    }

    private func locking(_ body: () throws(Errno) -> Bool) throws(StoreError) -> Bool {
        try attempt("lock", table.file(of: name), body)
    }

    /// Leaves the queue, and lets the next one move up.
    ///
    /// Also without the turnstile: a wake-up may have been meant for this waiter, and is passed on to the next.
    private func leaveQueue() {
        if case .asking = state { return }
        if case .first = state, file?.unlock(at: name.turnstile) == false { isReusable = false }
        board?.leave(.lock(name))
        wake(name.turnstileBits)
    }

    // MARK: Its end

    /// Whether the lock's file lost its name, or its path leads elsewhere, since the lock was taken: another process
    /// may have taken the lock too.
    var isLost: Bool {
        guard case .held = state, store.epoch == ForkEpoch.current,
            // Where that cannot be told nothing says that it was.
            let status = try? file?.status()
        else { return false }
        return status.links == 0
            || store.files.isElsewhere(Layout.lockTablePath(name.table), status)
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
            if let file = file.take(), file.unlock(at: name.byte + slot), isReusable {
                if mode == .shared { leaveNote(file) }
                table.giveBack(file, for: name)
            }
            wake(name.lockBits)
        case .asking, .queued, .first:
            leaveQueue()
            file = nil
        }
        state = .over
    }

    private func wake(_ bits: UInt32) {
        guard let board, board.isWaitedFor(.lock(name)) else { return }
        board.wake(.lock(name), most: 1, bits: bits)
        board.wake(.anything, bits: .max)
    }

    /// Keeps the lock in the program that this process is about to execute.
    func keepThroughExecution() throws(StoreError) {
        try attempt("keep the lock", table.file(of: name)) {
            () throws(Errno) in try file?.keepThroughExecution()
        }
    }
}
