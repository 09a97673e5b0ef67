internal import SystemCalls

/// The byte by which a session shows that it lives, locked when that is first asked for.
final class SessionByte: Sendable {
    private struct State {
        var session: SessionLock?
        /// Whose files were removed; claims may still name them.
        var former: [SessionLock] = []
        var temporaries = 0
    }

    private let files: StoreFiles
    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var state = State()

    init(_ files: StoreFiles) { self.files = files }

    private func withState<R>(_ body: (inout State) -> R) -> R {
        mutex.locked(0) { unsafe body(&state) }
    }

    /// The number by which this session shows that it lives; its byte is locked from now on.
    func id() throws(StoreError) -> UInt64 {
        if let known = withState({ $0.session }) {
            if known.isLinked, try !isTakenBack(known) { return known.id }
            // What it holds proves nothing to others any more: new claims name another.
            withState { state in
                guard state.session === known else { return }
                state.former.append(known)
                state.session = nil
            }
        }
        let locks = try files.locksDirectory()
        let session = try attempt("lock", files.lockFile(Layout.sessions(0))) { () throws(Errno) in
            try SessionLock(in: locks, of: files)
        }
        return withState { state in
            if let known = state.session { return known.id }
            state.session = session
            return session.id
        }
    }

    /// Whether a session is or was this one's.
    func isOwn(_ id: UInt64) -> Bool {
        withState { state in
            state.session?.id == id || state.former.contains { $0.id == id }
        }
    }

    /// Whether the server has taken the session's lock back, so that others take it for ended.
    private func isTakenBack(_ session: SessionLock) throws(StoreError) -> Bool {
        guard files.isLeased else { return false }
        do throws(Errno) {
            try session.ask()
            return false
        } catch {
            if error == .inputOutput { return true }
            throw StoreError(error, "ask for the session", path: files.path)
        }
    }

    /// Asks the server whether it still holds the session's lock for this machine.
    ///
    /// - Throws: `.lockLost` where it has taken it back. Blocks as long as it does not answer.
    func ask() throws(StoreError) {
        guard let session = withState({ $0.session }), try isTakenBack(session) else { return }
        throw .sessionTakenBack(files.path)
    }

    /// A name for a record being written, of this session and never used before by it.
    func temporaryName() throws(StoreError) -> FileName {
        let session = try id()
        let number = withState { state in
            state.temporaries += 1
            return state.temporaries
        }
        return Layout.temporary(session: session, number: number)
    }

    /// Keeps it in the program that this process is about to execute.
    func keepThroughExecution() throws(Errno) {
        try withState { $0.session }?.keepThroughExecution()
    }
}
