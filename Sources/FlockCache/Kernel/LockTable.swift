internal import SystemCalls

/// The lock table of an opened store, and what every lock of it needs: fetched once, because a lock costs
/// three system calls, and looking things up should not cost a fourth.
final class LockTable: Sendable {
    let identity: StoreIdentity
    /// What this process writes on the board when it gets a lock.
    let program: LockNote.Program
    private let locks: Directory
    private let marker: Marker
    private let path: String

    init(of store: OpenStore) throws(StoreError) {
        locks = try store.locksDirectory()
        marker = store.marker
        path = store.path
        let status = try attempt("use the store", path) { () throws(Errno) in
            try store.root.status()
        }
        identity = StoreIdentity(device: status.device, inode: status.inode)
        program = LockNote.Program(
            id: Process.id, processNamespace: (try? store.place())?.processNamespace ?? 0,
            command: ProgramName.plain)
    }

    /// Opens the file with a lock's bytes.
    func open(for name: LockName) throws(StoreError) -> LockFile {
        try attempt("lock", file(of: name)) { () throws(Errno) in
            try openOrMake(Layout.lockTable(name.table), in: locks, marker)
        }
    }

    /// The path of that file, for messages.
    func file(of name: LockName) -> String {
        OpenStore.lockFile(Layout.lockTable(name.table), in: path)
    }
}

/// Which store a lock is in, whatever path leads to it.
struct StoreIdentity: Equatable, Sendable {
    let device, inode: UInt64
}

extension OpenStore {
    func lockTable() throws(StoreError) -> LockTable {
        if let known = withLazy({ $0.lockTable }) { return known }
        let table = try LockTable(of: self)
        withLazy { $0.lockTable = table }
        return table
    }
}
