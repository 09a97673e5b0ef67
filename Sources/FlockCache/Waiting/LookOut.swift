internal import Synchronization
internal import SystemCalls

/// A kind of thing that a session's tasks wait for, as the look-out sees it: keys, locks, renewals.
protocol Watch: AnyObject, Sendable {
    /// Looks at everything that is waited for, and ends the waits that are over.
    ///
    /// The look-out's thread calls it, outside its mutex. It must not wait for another process: what is
    /// busy is looked at again some milliseconds later.
    ///
    /// - Returns: when to look again at the latest, by the boot clock; nil where nothing is waited for.
    func look(with board: Board?) -> BootTime?

    /// Ends every wait with an error: no thread could be started.
    func fail(_ error: StoreError)
}

/// The one thread of a session that looks out for whatever its tasks wait for.
///
/// A task must not block the thread it runs on, so it leaves a ticket with a watch and is resumed by the
/// look-out. The thread exists while there is something to watch. It sleeps on the board's word for
/// anything, or where there is no board polls.
///
/// No wake-up is lost: whoever adds to a watch calls `add` after that, which changes the word the thread
/// sleeps on; and the thread reads the word before it looks.
///
/// Order of locks: the mutex of the look-out is held for bookkeeping alone. A watch is called, and a task
/// resumed, without it.
final class LookOut: Sendable {
    private struct State {
        /// Each with how often it was added, so that one that is added while it is looked at stays.
        var watches: [(watch: any Watch, count: Int)] = []
        var hasThread = false
        /// What the thread sleeps on.
        var bell: Bell?
    }

    private let state = Mutex(State())
    /// Watches are kept, by their type: each is made when it is first needed.
    private let made = Mutex<[ObjectIdentifier: any Watch]>([:])

    /// The watch of a type, made when it is first asked for.
    func watch<W: Watch>(_ make: () -> W) -> W {
        made.withLock { made in
            if let known = made[ObjectIdentifier(W.self)] as? W { return known }
            let fresh = make()
            made[ObjectIdentifier(W.self)] = fresh
            return fresh
        }
    }

    /// Has a watch looked at soon, and from then on until nothing of it is waited for.
    ///
    /// - Parameter board: finds the board to sleep on; called by the thread.
    /// - Throws: when there is no thread and none can be started. Every watch has been failed then.
    func add(_ watch: any Watch, board: @escaping @Sendable () -> Board?) throws(StoreError) {
        let (needsThread, bell) = state.withLock { state in
            if let index = state.watches.firstIndex(where: { $0.watch === watch }) {
                state.watches[index].count += 1
            } else {
                state.watches.append((watch, 1))
            }
            defer { state.hasThread = true }
            return (!state.hasThread, state.bell)
        }
        guard needsThread else {
            bell?.ring()
            return
        }
        do throws(Errno) {
            try startThread { self.run(board) }
        } catch {
            let failure = StoreError(error, "start a thread")
            let watches = state.withLock { state in
                defer { state.watches = [] }
                state.hasThread = false
                return state.watches
            }
            for (watch, _) in watches { watch.fail(failure) }
            throw failure
        }
    }

    /// Has the thread look soon.
    func ring() { state.withLock { $0.bell }?.ring() }

    // MARK: The thread

    /// How long the thread stays when nothing is watched: tasks that take turns need no new one each time.
    private static let linger = Duration.milliseconds(100)
    /// The longest sleep.
    ///
    /// Sleeps run on a clock that stands still through a suspend, and what is watched on one that does
    /// not: so the end of a lease is noticed within a second of the machine's resuming.
    private static let longestSleep = Duration.seconds(1)

    private func run(_ findBoard: () -> Board?) {
        var bell = Bell(findBoard())
        var leave = BootTime.now.advanced(by: Self.linger)
        while true {
            let board = findBoard()
            if board !== bell.board { bell = Bell(board) }
            // Before looking: what changes after this ends the sleep below.
            let heard = bell.announce()
            guard let watches = watches(with: bell, until: leave) else { return }
            var end = leave
            for (watch, count) in watches {
                if let next = watch.look(with: board) {
                    end = end == leave ? next : min(end, next)
                    leave = BootTime.now.advanced(by: Self.linger)
                } else {
                    retire(watch, addedUpTo: count)
                }
            }
            bell.wait(heard, until: min(end, BootTime.now.advanced(by: Self.longestSleep)))
        }
    }

    /// What is watched; nil when the thread is to end.
    private func watches(with bell: Bell, until leave: BootTime) -> [(any Watch, Int)]? {
        state.withLock { state in
            state.bell = bell
            if state.watches.isEmpty && BootTime.now > leave {
                state.hasThread = false
                state.bell = nil
                return nil
            }
            return state.watches.map { ($0.watch, $0.count) }
        }
    }

    private func retire(_ watch: any Watch, addedUpTo count: Int) {
        state.withLock { state in
            state.watches.removeAll { $0.watch === watch && $0.count == count }
        }
    }
}

/// What the look-out's thread sleeps on: the board's word for anything, or where there is no board a word of
/// this process alone.
private final class Bell: Sendable {
    let board: Board?
    private let memory: SharedMemory?
    /// One bit is for whoever changes something, the others are for calling one process.
    private let ownBit: UInt32 = 1 << UInt32(1 + jitter(upTo: 30))

    init(_ board: Board?) {
        self.board = board
        memory = board == nil ? SharedMemory(count: 64) : nil
    }

    func announce() -> UInt32 { board?.announce(.anything) ?? memory?.word(at: 0) ?? 0 }

    /// Calls this process's thread.
    func ring() {
        board?.call(.anything, bits: ownBit)
        memory?.wake(1, at: 0, bits: ownBit)
    }

    func wait(_ heard: UInt32, until end: BootTime) {
        board?.wait(.anything, heard, bits: 1 | ownBit, until: end)
        memory?.wait(at: 0, while: heard, bits: ownBit, until: end)
    }
}
