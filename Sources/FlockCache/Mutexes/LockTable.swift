internal import SystemCalls

/// The lock table of an opened store, and what every lock of it needs: fetched once, because a lock costs
/// three system calls, and looking things up should not cost a fourth.
@safe final class LockTable: Sendable {
    /// What this process writes on the board when it gets a lock.
    let program: LockNote.Program
    private let locks: Directory
    private let store: StoreFiles
    private var path: String { store.path }
    /// Of each file of the table one that is open and that nobody uses now: opening it anew for each lock
    /// takes two thirds of a lock's time.
    ///
    /// An open file belongs to one acquisition at a time, as if it had been opened for it.
    // Under the mutex alone. Not an `InlineArray` in a `Mutex`, whose generic class costs each start.
    private nonisolated(unsafe) let idle: UnsafeMutablePointer<LockFile?>
    private let mutex = ThreadMutexes(count: 1)
    private static let count = 64

    init(of store: StoreFiles) throws(StoreError) {
        locks = try store.locksDirectory()
        self.store = store
        unsafe idle = UnsafeMutablePointer.allocate(capacity: Self.count)
        for index in 0..<Self.count { unsafe (idle + index).initialize(to: nil) }
        program = LockNote.Program(
            id: Process.id, processNamespace: (try? store.place())?.processNamespace ?? 0,
            command: ProgramName.plain)
    }

    deinit {
        unsafe idle.deinitialize(count: Self.count)
        unsafe idle.deallocate()
    }

    /// The file with a lock's bytes, for one acquisition.
    ///
    /// It may have been removed since it was opened: look at it after locking.
    func take(for name: LockName) throws(StoreError) -> LockFile {
        if let file = withIdle(name, { $0.take() }) { return file }
        return try open(for: name)
    }

    /// Takes back what was taken, after what was locked was unlocked.
    ///
    /// Not where a server may have taken a lock of it back: what is asked of it then says so for ever.
    func giveBack(_ file: consuming LockFile, for name: LockName) {
        if store.isLeased { return }
        var returned: LockFile? = consume file
        withIdle(name) { idle in
            if idle == nil { idle = returned.take() }
        }
    }

    private func withIdle<R: ~Copyable>(
        _ name: LockName, _ body: (inout LockFile?) -> R
    ) -> R {
        _ = mutex.lock(0, until: TimeLimit(nil))
        defer { mutex.unlock(0) }
        return unsafe body(&idle[name.table])
    }

    /// The same, opened anew.
    func open(for name: LockName) throws(StoreError) -> LockFile {
        try attempt("lock", file(of: name)) { () throws(Errno) in
            try openToHold(Layout.lockTable(name.table), in: locks, of: store)
        }
    }

    /// The path of that file, for messages.
    func file(of name: LockName) -> String {
        StoreFiles.lockFile(Layout.lockTable(name.table), in: path)
    }
}

/// The lock table of a store, opened when it is first needed.
final class LockTableAccess: Sendable {
    private let files: StoreFiles
    private let mutex = ThreadMutexes(count: 1)
    // Under the mutex alone; see StoreFiles for why it is not `Synchronization.Mutex`.
    private nonisolated(unsafe) var table: LockTable?

    init(_ files: StoreFiles) { self.files = files }

    /// The file with a lock's bytes, opened anew; without what named locks need besides.
    func openFile(for name: LockName) throws(StoreError) -> LockFile {
        let locks = try files.locksDirectory()
        return try attempt("lock", path(of: name)) { () throws(Errno) in
            try openOrMake(Layout.lockTable(name.table), in: locks, files.marker)
        }
    }

    /// The path of that file, for messages.
    func path(of name: LockName) -> String { files.lockFile(Layout.lockTable(name.table)) }

    func open() throws(StoreError) -> LockTable {
        if let known = mutex.locked(0, { unsafe table }) { return known }
        let fresh = try LockTable(of: files)
        return mutex.locked(0) {
            if let known = unsafe table { return known }
            unsafe table = fresh
            return fresh
        }
    }
}
