internal import FlockCache
internal import SystemCalls

/// The processes that can write to a pipe, as far as this process may know.
struct PipeWriters {
    /// The first of them, and its program.
    private(set) var first: (id: Int32, program: String)?
    private var count = 0
    /// Why they cannot be looked for.
    private var obstacle: Errno?

    /// Looks for them in `/proc`, which takes some microseconds a descriptor.
    ///
    /// Not seen are those of other users, where this process is not root, and those of PID
    /// namespaces that this one does not contain.
    init(of pipe: PipeEnd) {
        do throws(Errno) {
            let name = Array("pipe:[\(try pipe.inode())]".utf8)
            try Directory.open(path: "/proc").forEachName { (entry) throws(Errno) in
                guard let id = Int32(String(decoding: entry, as: UTF8.self)), id != Process.id
                else { return true }
                if try Self.writes(id, to: name) { add(id) }
                return true
            }
        } catch {
            obstacle = error
        }
    }

    private mutating func add(_ id: Int32) {
        count += 1
        guard first == nil else { return }
        first = (id, ProcessStatus(of: id).map { shown($0.command) } ?? "ended since")
    }

    private static func writes(_ id: Int32, to name: [UInt8]) throws(Errno) -> Bool {
        var isFound = false
        do throws(Errno) {
            let descriptors = try Directory.open(path: procFile("fd", of: id))
            try descriptors.forEachName { (number) throws(Errno) in
                let path = Array("/proc/\(id)/fd/".utf8) + number
                // The permissions of the link say what the descriptor was opened for.
                guard Process.target(of: FileName(path)) == name,
                    let link = try descriptors.status(of: FileName(number)),
                    link.mode & 0o200 != 0
                else { return true }
                isFound = true
                return false
            }
        } catch {
            // It has ended meanwhile, or is another user's. Out of descriptors all would seem to
            // be.
            if error.isShortage { throw error }
        }
        return isFound
    }

    /// Who holds the pipe, in words.
    var description: String {
        if let first {
            let others = count > 1 ? " and \(count - 1) more" : ""
            return "pid \(first.id) (\(first.program))\(others)"
        }
        if let obstacle {
            return "a process that cannot be looked for (/proc: \(obstacle.message))"
        }
        return "a process that cannot be seen from here (another user's, or outside this container)"
    }
}
