internal import SystemCalls

/// The board of a store as one process knows it: found, made and mapped when it is first needed.
final class BoardAccess: Sendable {
    private struct State {
        var mapped: Board?
        /// Where it could not be made, when to try again.
        var nextTry = BootTime(nanoseconds: 0)
        var whenFound: (@Sendable () -> Void)?
    }

    private let files: StoreFiles
    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var state = State()

    init(_ files: StoreFiles) { self.files = files }

    /// Has a closure called with every board that is found, before anybody waits on it.
    func whenFound(_ body: @escaping @Sendable () -> Void) { withState { $0.whenFound = body } }

    private func withState<R>(_ body: (inout State) -> R) -> R {
        mutex.locked(0) { unsafe body(&state) }
    }

    /// The board for who is about to wait; nil where waits poll.
    func forWaiting() -> Board? { board(making: true) }

    /// The board for who has something to tell; nil where nobody ever waited.
    func forWaking() -> Board? { board(making: false) }

    /// The board if this process has it mapped.
    var known: Board? { withState { $0.mapped } }

    /// On a nearly full device each attempt takes, for a moment, what a value may need.
    private static let retry = Duration.seconds(5)

    private func board(making: Bool) -> Board? {
        if let known {
            if known.isCurrent { return known }
            // `known` keeps it until here: it is unmapped when the mutex is free again.
            withState { state in
                if state.mapped === known { state.mapped = nil }
            }
        }
        let now = BootTime.now
        let makes = making && withState { $0.nextTry } <= now
        guard let fresh = BoardFile.open(of: files, making: makes) else {
            if makes { withState { $0.nextTry = now.advanced(by: Self.retry) } }
            return nil
        }
        withState({ $0.whenFound })?()
        return withState { state in
            if let known = state.mapped { return known }
            state.mapped = fresh
            return fresh
        }
    }

    /// Wakes those who wait for a key; call it when the change is made and the mutex free.
    func tellWaiters(of name: EntryName) {
        guard let board = forWaking() else { return }
        board.wake(.keys(name.shard), bits: name.wakeBits)
        board.wake(.anything, bits: .max)
    }
}
