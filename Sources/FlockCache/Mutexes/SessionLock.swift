internal import Synchronization
internal import SystemCalls

/// Proof that a session lives: one byte that its process keeps locked.
///
/// Exact across reused process numbers, PID namespaces, containers and hosts that share a file system
/// with locks: the kernel drops the lock when the process ends, however it ends.
final class SessionLock: Sendable {
    /// 62 random bits: the low 6 choose the file, the others the byte.
    let id: UInt64
    private let file: LockFile
    /// When the file was last seen to have a name, in nanoseconds of the boot clock.
    private let seenLinked: Atomic<Int64>

    /// Takes a byte that nobody has.
    init(in locks: Directory, of store: StoreFiles) throws(Errno) {
        while true {
            let id = try randomBits() >> 2
            let file = try openToHold(Layout.sessions(Self.index(id)), in: locks, of: store)
            // The file may have been removed since it was opened.
            if try file.tryLock(.exclusive, at: Self.offset(id)), try file.isLinked() {
                self.id = id
                self.file = file
                seenLinked = Atomic(BootTime.now.nanoseconds)
                return
            }
        }
    }

    /// Whether its file still has a name, so that others see this session; looked at once a second at
    /// most, which also keeps it from looking old.
    var isLinked: Bool {
        let now = BootTime.now.nanoseconds
        guard now - seenLinked.load(ordering: .relaxed) > 1_000_000_000 else { return true }
        // Where that cannot be told there is no reason to give it up.
        guard (try? file.isLinked()) != false else { return false }
        seenLinked.store(now, ordering: .relaxed)
        return true
    }

    /// Whether the server still holds its lock for this machine, where it may take locks back.
    ///
    /// Blocks as long as the server does not answer.
    func ask() throws(Errno) { try file.readThrough() }

    /// What can be found out about a session.
    enum Finding { case alive, dead, unproven }

    /// What a session's file says of a claim.
    ///
    /// Its byte is free: the session is over. But not where the file is missing, or was made after the
    /// claim: then the file that its session had locked was removed, and this one says nothing of it. In a
    /// copy of a store the whole of `locks` was made after the claim, and the session was never of the copy.
    ///
    /// - Parameter claimed: when the claim was made, in microseconds of the wall clock.
    static func find(
        _ id: UInt64, claimed: Int64, in locks: Directory
    ) throws(Errno) -> Finding {
        do throws(Errno) {
            let file = try openToAsk(of: id, in: locks)
            if try isAlive(id, in: file) { return .alive }
            // A file system that does not record it leaves what the byte says.
            guard let born = try file.birthTime(), born / 1000 > claimed else { return .dead }
        } catch {
            if error != .noEntry { throw error }
        }
        guard let born = try locks.birthTime() else { return .unproven }
        return born / 1000 > claimed - clockLag ? .dead : .unproven
    }

    /// By how many microseconds a time that the kernel writes may be behind the clock that claims are dated
    /// by: two of its slowest ticks.
    private static let clockLag: Int64 = 20_000

    /// Whether a session lives.
    ///
    /// Asked through a descriptor that holds no lock: a description never conflicts with itself,
    /// and would see its own session as dead.
    static func isAlive(_ id: UInt64, in locks: Directory) throws(Errno) -> Bool {
        do throws(Errno) {
            return try isAlive(id, in: try openToAsk(of: id, in: locks))
        } catch {
            if error == .noEntry { return false }
            throw error
        }
    }

    /// The file with a session's byte, for asking whether it lives.
    static func openToAsk(of id: UInt64, in locks: Directory) throws(Errno) -> File {
        try locks.open(Layout.sessions(index(id)), .read)
    }

    static func isAlive(_ id: UInt64, in file: borrowing File) throws(Errno) -> Bool {
        try file.isLockedByOthers(at: offset(id))
    }

    /// Keeps it in the program that this process is about to execute.
    func keepThroughExecution() throws(Errno) { try file.keepThroughExecution() }

    private static func index(_ id: UInt64) -> Int { Int(id & 63) }
    private static func offset(_ id: UInt64) -> Int { Int(id >> 6) }
}

/// Opens a file whose locks a server may take back, so that it can be asked about them: that needs a file in which
/// something is, and its first line is for people.
func openToHold(
    _ name: FileName, in locks: Directory, of store: StoreFiles
) throws(Errno) -> LockFile {
    let file = try openOrMake(name, in: locks, store.marker)
    if store.isLeased, try file.status().size == 0 {
        // Several may do so at once, and write the same.
        try file.write(Layout.lockFileLine, at: 0)
    }
    return file
}

/// Opens a file that carries locks, making it if need be with the permissions that the marker names.
func openOrMake(
    _ name: FileName, in locks: Directory, _ marker: Marker
) throws(Errno) -> LockFile {
    while true {
        do throws(Errno) {
            return try locks.openLockFile(name, .readWrite)
        } catch {
            if error != .noEntry { throw error }
        }
        // `locks` lies directly in the store.
        try marker.makeFile(name, in: locks, of: try locks.openDirectory(".."))
    }
}
