internal import FlockCache
internal import SystemCalls

/// The process on whose behalf a command runs: whose claim it is.
///
/// Promises that a claim made in `$(…)`, in a subshell, in a pipeline or behind `timeout` belongs
/// to the script, outlives all of these and dies with the script. What could break it: a process of
/// the chain that ends while it is read, and whose number somebody else gets; so the chain is read
/// again after the owner's pidfd has told who it is, and must be the same.
struct CallingProgram {
    let identity: ProcessIdentity
    let command: [UInt8]
    /// The processes between it and this one, which act for it.
    var between: [Int32] = []

    /// Whether a command only passes a command on.
    private static func isPasser(_ name: String) -> Bool {
        switch name {
        case "timeout", "sudo", "su", "runuser", "doas", "time", "nice", "ionice", "chrt",
            "taskset",
            "env", "setsid", "stdbuf", "strace":
            true
        default: false
        }
    }

    private static func isShell(_ name: String) -> Bool {
        switch name {
        case "sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "mksh", "yash": true
        default: false
        }
    }

    /// Finds it, beginning at the process that called.
    static func find() throws(Failure) -> CallingProgram {
        guard let own = Process.target(of: "/proc/self"),
            own.elementsEqual(String(Process.id).utf8)
        else {
            guard try hasProc() else {
                // Nor could a claim be made for an owner that was named.
                throw Failure(
                    .configuration,
                    "cannot tell whose claim it is: /proc is missing; mount it "
                        + "(mount -t proc proc /proc)")
            }
            throw unknown("/proc is of another PID namespace")
        }
        // A process of the chain may end at any time; then its children have other parents.
        for _ in 0..<10 {
            let parent = Process.parent
            let chain = try chain(from: parent)
            guard let owner = chain.last else { throw unknown("the calling process has ended") }
            try refuseMachine(owner.id)
            guard let identity = try identity(of: owner.id) else { continue }
            if try isStill(chain, from: parent) {
                return CallingProgram(
                    identity: identity, command: owner.command,
                    between: chain.dropLast().map(\.id))
            }
        }
        throw unknown("the processes that called keep ending")
    }

    /// Whether the processes that were read are the same as before the owner was identified.
    private static func isStill(
        _ chain: [ProcessStatus], from parent: Int32
    ) throws(Failure) -> Bool {
        // A process that ends has no children from that moment on. So a parent that is still one
        // has lived all the while, which proves more than its start time, and costs nothing.
        if chain.count == 1 { return Process.parent == parent }
        let again = try Self.chain(from: Process.parent)
        return again.map(\.id) == chain.map(\.id)
            && again.map(\.startTime) == chain.map(\.startTime)
    }

    /// Every process whose claims the caller may end: the program, and those that act for it, this
    /// one included.
    ///
    /// A shell executes its last command in its own place, so `sh -c 'flock-cache claim k; …;
    /// timeout 5 flock-cache finalize k v'` is by then `timeout`, and its claim is of that process.
    var identities: [ProcessIdentity] {
        get throws(Failure) {
            var identities = [identity]
            for process in between + [Process.id] {
                if let other = try Self.identity(of: process) { identities.append(other) }
            }
            return identities
        }
    }

    /// A process that was named.
    ///
    /// - Parameter otherwise: what may be done in place of naming one.
    static func named(_ process: UInt64, orElse otherwise: String = "") throws(Failure)
        -> CallingProgram
    {
        guard let id = Int32(exactly: process), id > 0, let identity = try identity(of: id) else {
            throw Failure(
                .configuration,
                "the owner (--owner, \(Variable.owner)) is pid \(process), but there is no such process; name one "
                    + "that is running" + otherwise)
        }
        guard !isMachine(id) else {
            throw Failure(
                .configuration,
                "the owner (--owner, \(Variable.owner)) is pid \(process), the machine's own, which never ends, and so "
                    + "nothing that ends with it would; name another process" + otherwise)
        }
        let command = try status(of: id)?.command ?? []
        return CallingProgram(identity: identity, command: command)
    }

    /// From the caller to the owner.
    private static func chain(from parent: Int32) throws(Failure) -> [ProcessStatus] {
        var chain: [ProcessStatus] = []
        var process = parent
        while process > 0, let status = try status(of: process) {
            chain.append(status)
            guard let next = try follows(status) else { return chain }
            process = next
        }
        throw unknown(
            process == 0
                ? "the calling process is outside this PID namespace"
                : "/proc does not show pid \(process)")
    }

    /// The process that one acts for; nil when it acts for itself.
    private static func follows(_ status: ProcessStatus) throws(Failure) -> Int32? {
        if isPasser(String(decoding: status.command, as: UTF8.self)) {
            return status.parent
        }
        guard status.neverExecuted, let parent = try Self.status(of: status.parent),
            try isShell(status), try program(of: status) == program(of: parent),
            let line = try commandLine(of: status.id), try line == commandLine(of: parent.id)
        else { return nil }
        return parent.id
    }

    private static func hasProc() throws(Failure) -> Bool {
        try reading { () throws(Errno) in
            try Process.contentsIfThere(of: "/proc/sys/kernel/random/boot_id", upTo: 64) != nil
        }
    }

    private static func status(of process: Int32) throws(Failure) -> ProcessStatus? {
        try reading { () throws(Errno) in try ProcessStatus.find(process) }
    }

    private static func commandLine(of process: Int32) throws(Failure) -> [UInt8]? {
        try reading { () throws(Errno) in try ProcessStatus.commandLine(of: process) }
    }

    private static func reading<R>(_ body: () throws(Errno) -> R) throws(Failure) -> R {
        do throws(Errno) {
            return try body()
        } catch {
            throw unread(error)
        }
    }

    /// That the processes could not be read says nothing of them; no owner that is named would
    /// help.
    private static func unread(_ error: Errno) -> Failure {
        let advice = error == .tooManyFiles ? "; " + StoreError.descriptorAdvice : ""
        return Failure(
            error.isShortage ? .system : .inputOutput,
            "cannot tell whose claim it is: reading /proc: \(error.message)\(advice)")
    }

    private static func isShell(_ status: ProcessStatus) throws(Failure) -> Bool {
        // A script that is executed goes by its own name: the program's file tells.
        let path = try program(of: status)
        let name = path.lastIndex(of: UInt8(ascii: "/")).map { path[($0 + 1)...] } ?? path[...]
        return isShell(String(decoding: name, as: UTF8.self))
    }

    /// The path of the program, as far as it can be told.
    private static func program(of status: ProcessStatus) throws(Failure) -> [UInt8] {
        guard var path = Process.target(of: procFile("exe", of: status.id)) else {
            // Another user's, as behind sudo: its command line may be read, and begins with the
            // interpreter also of a script that was executed; with a hyphen, of a login shell.
            let line = try commandLine(of: status.id) ?? []
            let word = line.prefix { $0 != 0 }.drop { $0 == UInt8(ascii: "-") }
            return word.isEmpty ? status.command : Array(word)
        }
        // So says the kernel of a program that was upgraded while it runs.
        let suffix = Array(" (deleted)".utf8)
        if path.suffix(suffix.count) == suffix[...] { path.removeLast(suffix.count) }
        return path
    }

    private static func identity(of process: Int32) throws(Failure) -> ProcessIdentity? {
        do throws(Errno) {
            return try ProcessIdentity(of: process)
        } catch {
            if error.isShortage { throw unread(error) }
            throw unknown("pid \(process): \(error.message)")
        }
    }

    /// The machine's own first process lives for ever, and stands for nobody.
    ///
    /// A container's may well be the program: the inode of the first PID namespace is the kernel's
    /// PROC_PID_INIT_INO.
    private static func isMachine(_ process: Int32) -> Bool {
        process == 1 && Process.namespace("/proc/self/ns/pid") == 0xefff_fffc
    }

    private static func refuseMachine(_ process: Int32) throws(Failure) {
        if isMachine(process) {
            throw unknown(
                "process 1 is the machine's own and never ends, so a claim for it would never end either"
            )
        }
    }

    private static func unknown(_ reason: String) -> Failure {
        Failure(
            .configuration,
            "cannot tell whose claim it is: \(reason); name the owner with --owner PID or "
                + "\(Variable.owner), or use --owner none with --stale-after")
    }
}
