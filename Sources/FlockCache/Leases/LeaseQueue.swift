internal import SystemCalls

// Who waits for a lease stands in a queue, as for a lock: leases have queues of their own beside those of locks, so that
// a lock and a lease of one key never wait for one another.
//
//   outside → queued → first → outside
//
// Only who is first asks for the lease, under the shard's mutex. Whoever releases a lease, or leaves the queue, wakes the
// first; who is first wakes by itself when the lease's time is over, and asks from time to time whether its owner lives.
// What could break it is said at `TicketQueue`; the grant itself is judged under the mutex, so that a wrong order never
// has two in charge.

/// One who waits in the queue of a lease.
struct LeasePlace: ~Copyable {
    let store: OpenStore
    private let table: LockTable
    private let name: LockName
    /// nil where the file cannot be had for a shortage: who waits then asks from time to time, as nobody could tell its
    /// turn.
    private var file: LockFile? = nil
    private var queue: TicketQueue

    init(_ name: LockName, in store: OpenStore) throws(StoreError) {
        self.store = store
        self.name = name
        table = try store.locks.open()
        queue = TicketQueue(
            name.leaseQueue, isLocal: store.isLocal, board: store.board.forWaiting())
    }

    /// Takes a place in the queue.
    mutating func join(since start: BootTime) throws(StoreError) {
        file = try table.takeUnlessShort(name)
        _ = try asking { (queue, file) throws(Errno) in
            try queue.join(file, since: start)
            return true
        }
    }

    /// Whether nobody who came before waits; says that this one does.
    mutating func isFirst() throws(StoreError) -> Bool {
        queue.use(store.board.forWaiting())
        while true {
            let isFirst = try asking { (queue, file) throws(Errno) in try queue.isFirst(file) }
            guard isFirst != false, try hasMoved() else { return isFirst ?? true }
        }
    }

    /// Goes on in the file that is there now where the one it waits in was removed; false where it was not.
    private mutating func hasMoved() throws(StoreError) -> Bool {
        let isThere = try asking { (_, file) throws(Errno) in try file.status().links != 0 }
        guard isThere == false, let former = file.take() else { return false }
        guard let fresh = try table.takeUnlessShort(name, anew: true) else {
            queue.forget()
            return false
        }
        do throws(Errno) {
            file = try queue.move(from: former, to: fresh)
        } catch {
            queue.forget()
            throw StoreError(error, "wait for the lease", path: table.file(of: name))
        }
        return true
    }

    func isSuspicious(afterNap isLate: Bool) -> Bool { queue.isSuspicious(afterNap: isLate) }

    /// Whether the one in front was passed, because it does not ask for the lease although that is free.
    mutating func hasPassed(isFree: Bool) throws(StoreError) -> Bool {
        try asking { (queue, file) throws(Errno) in
            try queue.hasPassed(file, isFree: isFree)
        } ?? false
    }

    mutating func rest() -> QueueRest {
        if file != nil { return queue.rest() }
        let end = BootTime.now.advanced(by: .milliseconds(50))
        return QueueRest(board: nil, word: .slot(0), bits: 1, seen: 0, end: end)
    }

    /// Leaves the queue, and wakes who is first then: it is to know until when the lease is taken.
    consuming func leave() {
        guard store.epoch == ForkEpoch.current else { return }
        guard let file = file.take() else { return }
        let isReusable = queue.leave(file)
        queue.wakeOldest(file)
        if isReusable { table.giveBack(file, for: name) }
    }

    /// nil where there is no file.
    private mutating func asking<R>(
        _ body: (inout TicketQueue, borrowing LockFile) throws(Errno) -> R
    ) throws(StoreError) -> R? {
        guard let file = file.take() else { return nil }
        var result: R?
        var failure: Errno?
        do throws(Errno) { result = try body(&queue, file) } catch { failure = error }
        self.file = consume file
        if let failure {
            throw StoreError(failure, "wait for the lease", path: table.file(of: name))
        }
        return result
    }
}

extension Session {
    /// Wakes who is first in the queue of a lease, after it was released or ended by force.
    ///
    /// When the shard's mutex is free. Where nobody can be woken the sleeps end by themselves.
    func wakeWhoWaits(forLease name: EntryName) {
        guard let store = try? existing() else { return }
        store.wakeWhoWaits(forLease: name)
    }

    /// Says that a lease is about to become free: before it is, so that nobody who does not wait takes it in between.
    func noteEnd(ofLease name: EntryName) {
        guard let store = try? existing(), let board = store.board.forWaking() else { return }
        let queue = LockName(known: name.key).leaseQueue
        if board.isWaitedFor(queue) { board.noteFreed(queue) }
    }
}

extension OpenStore {
    fileprivate func wakeWhoWaits(forLease name: EntryName) {
        let lock = LockName(known: name.key)
        guard let board = board.forWaking(), board.isWaitedFor(lock.leaseQueue) else { return }
        board.noteFreed(lock.leaseQueue)
        // Where nobody can be woken the sleeps end by themselves.
        _ = try? asking(lock, board) { (queue, file) throws(Errno) in
            queue.wakeOldest(file)
            return true
        }
    }

    /// Asks the queue of a lease something; nil where its file cannot be had for a shortage.
    private func asking(
        _ lock: LockName, _ board: Board?,
        _ body: (TicketQueue, borrowing LockFile) throws(Errno) -> Bool
    ) throws(StoreError) -> Bool? {
        let table = try locks.open()
        guard let file = try table.takeUnlessShort(lock) else { return nil }
        let queue = TicketQueue(lock.leaseQueue, isLocal: isLocal, board: board)
        let answer = try attempt("ask who waits for the lease", table.file(of: lock)) {
            () throws(Errno) in try body(queue, file)
        }
        table.giveBack(file, for: lock)
        return answer
    }

    /// Whether somebody waits in the queue of a lease.
    func isWaitedFor(_ name: EntryName) throws(StoreError) -> Bool {
        let lock = LockName(known: name.key)
        let board = board.forWaiting()
        if let board, !board.isWaitedFor(lock.leaseQueue) { return false }
        let isEmpty = try asking(lock, board) { (queue, file) throws(Errno) in
            try queue.isEmpty(file)
        }
        return isEmpty == false
    }

    /// Whether others, who wait, come before one that does not, whether the lease is free or not.
    ///
    /// Not where the lease has been free for a while and nobody has taken it: then the first of them is stopped. Without
    /// a board that cannot be told, and what is free is taken.
    func othersComeFirst(_ name: EntryName, slots: Int) throws(StoreError) -> Bool {
        let lock = LockName(known: name.key)
        guard let board = board.forWaking(), board.isWaitedFor(lock.leaseQueue) else {
            return false
        }
        let isEmpty = try asking(lock, board) { (queue, file) throws(Errno) in
            try queue.isEmptyBehindPassed(file)
        }
        guard isEmpty == false else { return false }
        switch try freedom(name, slots: slots, freed: board.freed(lock.leaseQueue)) {
        // Held now, it may be released before it is asked for.
        case .none: return true
        case .forAWhile: return board.hasJustBeenFreed(lock.leaseQueue)
        case .byDeath:
            // Nobody tells of a death: who is first learns of it by this.
            wakeWhoWaits(forLease: name)
            return true
        }
    }

    private enum Freedom {
        /// All slots are held, or were until a moment ago.
        case none
        case forAWhile
        /// An owner has exited, and nobody who waits has been told.
        case byDeath
    }

    /// Whether one of a lease's slots is free, and not because its time has come to its end a moment ago.
    ///
    /// By one look at each: between two another may have got it and released it.
    private func freedom(
        _ name: EntryName, slots: Int, freed: BootTime
    ) throws(StoreError) -> Freedom {
        guard let file = try leaseFile(name, making: false, writing: false) else {
            return .forAWhile
        }
        let here = try place().boot
        var freedom = Freedom.none
        for index in 0..<slots where file.timeTaken(index) == nil {
            guard let cell = try file.slot(index).cell else { return .forAWhile }
            guard case .free = try standing(of: cell) else { continue }
            if cell.hasEnded || cell.place.boot != here { return .forAWhile }
            let left = cell.deadline?.timeLeft(ofThisBoot: true) ?? 1
            if left < -100_000 { return .forAWhile }
            if left <= 0 { continue }
            // Both are of the boot clock of the first time namespace.
            let isTold = freed.nanoseconds / 1000 > cell.since.stamp.boot
            if isTold { return .forAWhile }
            freedom = .byDeath
        }
        return freedom
    }
}

extension LockTable {
    /// The file with a lock's bytes; nil where there is no room for it, or no descriptor.
    fileprivate func takeUnlessShort(
        _ name: LockName, anew: Bool = false
    ) throws(StoreError) -> LockFile? {
        do throws(StoreError) {
            return anew ? try open(for: name) : try take(for: name)
        } catch {
            guard error.code == .noSpace || error.systemError == Errno.tooManyFiles.code else {
                throw error
            }
            return nil
        }
    }
}
