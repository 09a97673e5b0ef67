internal import SystemCalls

/// Proof that a session lives: one byte that its process keeps locked.
///
/// Exact across reused process numbers, PID namespaces, containers and hosts that share a file system
/// with locks: the kernel drops the lock when the process ends, however it ends.
final class SessionLock: Sendable {
    /// 62 random bits: the low 6 choose the file, the others the byte.
    let id: UInt64
    private let file: LockFile

    /// Takes a byte that nobody has.
    init(in locks: Directory, _ marker: Marker) throws(Errno) {
        while true {
            let id = try randomBits() >> 2
            let file = try openOrMake(Layout.sessions(Self.index(id)), in: locks, marker)
            if try file.tryLock(.exclusive, at: Self.offset(id)) {
                self.id = id
                self.file = file
                return
            }
        }
    }

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
        do throws(Errno) {
            let file = try locks.openLockFile(name, .createNew(mode: marker.fileMode))
            if marker.isShared { try file.changeMode(to: marker.fileMode) }
            return file
        } catch {
            if error != .exists { throw error }
        }
    }
}
