#if DEBUG

internal import Glibc
internal import Synchronization

/// Faults at the N-th system call, for tests: nothing of this is in a release build.
///
/// `FLOCK_CACHE_FAULT=N:KILL` and `N:STOP` send that signal in place of the N-th call; `N:28` makes it
/// fail with that errno, `N+:28` it and all that follow. The calls of one process are counted from 1.
package enum Faults {
    private struct Plan {
        let number: Int
        let lasts: Bool
        let fault: Fault
    }

    private enum Fault {
        case signal(Int32)
        case errno(Int32)
    }

    /// By how many nanoseconds the wall clock is wrong: `FLOCK_CACHE_WALL_CLOCK` in seconds.
    static let wallClockShift: Int64 = {
        guard let text = unsafe getenv("FLOCK_CACHE_WALL_CLOCK") else { return 0 }
        return (unsafe Int64(String(cString: text)) ?? 0) * 1_000_000_000
    }()

    /// What the clock of tickets is, in units of 2^16 ns: `FLOCK_CACHE_TICKET_CLOCK` is by how many it is ahead, or
    /// behind a `=` at which it stands.
    package static func ticketClock(_ units: Int64) -> Int64 {
        guard let ticketSetting else { return units }
        return ticketSetting.stands ? ticketSetting.units : units &+ ticketSetting.units
    }

    private static let ticketSetting: (stands: Bool, units: Int64)? = {
        guard let text = unsafe getenv("FLOCK_CACHE_TICKET_CLOCK") else { return nil }
        let setting = unsafe String(cString: text)
        return Int64(setting.filter { $0 != "=" }).map { (setting.hasPrefix("="), $0) }
    }()

    /// The file system that all directories are to be on: `FLOCK_CACHE_FILE_SYSTEM` is its magic number.
    static let fileSystem: UInt64? = {
        guard let text = unsafe getenv("FLOCK_CACHE_FILE_SYSTEM") else { return nil }
        return unsafe UInt64(String(cString: text))
    }()

    /// What the table of mounts is to say then: `FLOCK_CACHE_MOUNT` is a type and options, parted by a blank.
    static let mount: Mount? = {
        guard let text = unsafe getenv("FLOCK_CACHE_MOUNT") else { return nil }
        let words = unsafe String(cString: text).split(separator: " ").map(String.init)
        return Mount(kind: .of(type: words[0]), options: words.count > 1 ? words[1] : "")
    }()

    /// What `/proc/self/mountinfo` is to say.
    ///
    /// `FLOCK_CACHE_MOUNT_TABLE` is a file, whose first line is the store's mount. An option `lease_time=` of it is the server's.
    static let mountTable: [UInt8]? = {
        guard let path = unsafe getenv("FLOCK_CACHE_MOUNT_TABLE") else { return nil }
        let name = unsafe FileName(String(cString: path))
        return try? File.open(path: name).contents(upTo: 1 << 16)
    }()

    /// What a file server is to answer: `FLOCK_CACHE_SERVER` is a file that says `lost` where it has taken the locks of
    /// this machine back, and `silent` where it does not answer.
    private static let server: FileName? = {
        guard let path = unsafe getenv("FLOCK_CACHE_SERVER") else { return nil }
        return unsafe FileName(String(cString: path))
    }()

    /// Called before a file is read from its server; a negative errno is to be its result.
    static func askServer() -> Int64? {
        guard let server else { return nil }
        while true {
            let text = (try? File.open(path: server).contents(upTo: 16)) ?? []
            if text.starts(with: "lost".utf8) { return -Int64(EIO) }
            guard text.starts(with: "silent".utf8) else { return nil }
            usleep(1000)
        }
    }

    /// The flags that all directories are to have, as `chattr(1)` sets them: `FLOCK_CACHE_INODE_FLAGS`.
    static let inodeFlags: UInt32? = {
        guard let text = unsafe getenv("FLOCK_CACHE_INODE_FLAGS") else { return nil }
        return unsafe UInt32(String(cString: text))
    }()

    /// The size of a journal's segments in bytes: `FLOCK_CACHE_SEGMENT`.
    static let segmentByteCount: Int? = {
        guard let text = unsafe getenv("FLOCK_CACHE_SEGMENT") else { return nil }
        return unsafe Int(String(cString: text))
    }()

    private static let calls = Atomic<Int>(0)
    private static let plan: Plan? = {
        guard let text = unsafe getenv("FLOCK_CACHE_FAULT") else { return nil }
        let parts = unsafe String(cString: text).split(separator: ":")
        guard parts.count == 2, let number = Int(parts[0].filter { $0 != "+" }) else { return nil }
        let fault: Fault
        switch parts[1] {
        case "KILL": fault = .signal(SIGKILL)
        case "STOP": fault = .signal(SIGSTOP)
        default:
            guard let code = Int32(parts[1]) else { return nil }
            fault = .errno(code)
        }
        return Plan(number: number, lasts: parts[0].hasSuffix("+"), fault: fault)
    }()

    /// Called before every system call; a negative errno is to be its result.
    static func reach() -> Int64? {
        guard let plan else { return nil }
        let number = calls.add(1, ordering: .relaxed).newValue
        guard number == plan.number || (plan.lasts && number > plan.number) else { return nil }
        switch plan.fault {
        case .signal(let signal):
            kill(getpid(), signal)
            return nil
        case .errno(let code): return -Int64(code)
        }
    }
}

#endif

/// The size of a journal's segments that tests ask for; nil in a release build.
package var segmentByteCountOfTests: Int? {
    #if DEBUG
    Faults.segmentByteCount
    #else
    nil
    #endif
}
