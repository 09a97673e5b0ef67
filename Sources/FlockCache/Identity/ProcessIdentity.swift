package import SystemCalls

/// A process, told apart from every other that has or will have its number.
package struct ProcessIdentity: Equatable, Sendable {
    package let id: Int32
    /// The inode of its pidfd: since Linux 6.9 unique for the life of the kernel.
    let descriptorInode: UInt64?
    /// On older kernels, and where a filter forbids pidfds, when it started, in clock ticks of its time
    /// namespace.
    ///
    /// A number that was reused within one tick (10 ms) then looks like its predecessor, which only
    /// waits.
    let startTime: UInt64?

    init(id: Int32, descriptorInode: UInt64?, startTime: UInt64?) {
        self.id = id
        self.descriptorInode = descriptorInode
        self.startTime = startTime
    }

    /// The identity of a live process of this PID namespace; nil when there is none, or it is ending.
    package init?(of process: Int32) throws(Errno) {
        let descriptor: ProcessDescriptor
        do throws(Errno) {
            descriptor = try ProcessDescriptor(process)
        } catch {
            if error.meansNoSuchProcess { return nil }
            guard error.meansNoDescriptors else { throw error }
            guard Process.exists(process) else { return nil }
            guard let status = ProcessStatus(of: process) else { throw error }
            self.init(id: process, descriptorInode: nil, startTime: status.startTime)
            return
        }
        if try descriptor.hasExited() { return nil }
        let inode = try descriptor.inode()
        self.init(
            id: process, descriptorInode: inode,
            startTime: inode == nil ? ProcessStatus(of: process)?.startTime : nil)
    }

    /// Whether the process of that identity lives, seen from its own boot and PID namespace.
    ///
    /// When in doubt it lives: a wrong "dead" does the work twice, a wrong "alive" only waits.
    ///
    /// - Throws: a shortage of descriptors, in which it cannot be asked.
    func isAlive(sameTimeNamespace: Bool) throws(Errno) -> Bool {
        let descriptor: ProcessDescriptor
        do throws(Errno) {
            descriptor = try ProcessDescriptor(id)
        } catch {
            if error.isShortage { throw error }
            if error.meansNoSuchProcess { return false }
            guard error.meansNoDescriptors else { return true }
            return Process.exists(id) && hasStartTime(sameTimeNamespace: sameTimeNamespace)
        }
        // Readable once every thread has ended. State Z in /proc would prove nothing: a process whose
        // first thread has ended shows it while others run.
        if (try? descriptor.hasExited()) == true { return false }
        if let descriptorInode {
            guard let inode = try? descriptor.inode() else { return true }
            return inode == descriptorInode
        }
        return hasStartTime(sameTimeNamespace: sameTimeNamespace)
    }

    /// Whether the process that has the number now started when this one did; true in doubt.
    private func hasStartTime(sameTimeNamespace: Bool) -> Bool {
        guard sameTimeNamespace, let startTime, let now = ProcessStatus(of: id)?.startTime
        else { return true }
        return now == startTime
    }
}

extension Errno {
    /// What `pidfd_open` says of a number that no process has: none at all, or only a thread of
    /// another process (two errors, by kernel version).
    fileprivate var meansNoSuchProcess: Bool {
        self == .noSuchProcess || self == .invalid || self == .noEntry
    }

    /// What `pidfd_open` says where there is none: a kernel before 5.3, or a filter such as those of
    /// containers and of sandboxed services.
    fileprivate var meansNoDescriptors: Bool { self == .notPermitted || self == .notImplemented }
}

/// What `/proc/PID/stat` tells.
package struct ProcessStatus: Sendable {
    package let id: Int32
    package let command: [UInt8]
    package let parent: Int32
    /// Forked, and never executed anything since.
    package let neverExecuted: Bool
    /// Stopped by a signal or a debugger.
    package let isStopped: Bool
    /// Waits in the kernel for a device or a server, where a signal reaches it only if it kills.
    package let isBlocked: Bool
    /// Clock ticks after boot, in the reader's time namespace.
    package let startTime: UInt64

    /// Of the thread that began this process, whatever number `/proc` knows it by.
    package static var own: ProcessStatus? {
        Process.contents(of: "/proc/self/stat").flatMap { ProcessStatus($0) }
    }

    /// How often that thread has waited for something; nil where it cannot be told.
    package static var ownSwitches: UInt64? {
        guard let text = Process.contents(of: "/proc/self/status") else { return nil }
        let name = Array("voluntary_ctxt_switches:\t".utf8)
        let lines = text.split(separator: UInt8(ascii: "\n"))
        return lines.first { $0.starts(with: name) }.flatMap { decimal($0.dropFirst(name.count)) }
    }

    /// nil when there is no such process, or `/proc` does not show it.
    package init?(of process: Int32) {
        guard let status = try? Self.find(process) else { return nil }
        self = status
    }

    /// The same; what says nothing of the process, such as a shortage of descriptors, is thrown.
    package static func find(_ process: Int32) throws(Errno) -> ProcessStatus? {
        try contents("stat", of: process).flatMap { ProcessStatus($0) }
    }

    private static func contents(
        _ name: StaticString, of process: Int32
    ) throws(Errno) -> [UInt8]? {
        do throws(Errno) {
            return try Process.contentsIfThere(of: procFile(name, of: process))
        } catch {
            // Another user's, and hidden.
            if error == .noPermission || error == .notPermitted { return nil }
            throw error
        }
    }

    /// Field 1 is the number, 2 the name in parentheses (which it may itself contain), 3 the state, 4 the parent,
    /// 9 the flags, 22 the start time.
    init?(_ text: [UInt8]) {
        guard let open = text.firstIndex(of: UInt8(ascii: "(")),
            let close = text.lastIndex(of: UInt8(ascii: ")")), open < close,
            let id = decimal(text[..<open].dropLast()).flatMap(Int32.init(exactly:))
        else { return nil }
        // Behind the name and a space comes field 3.
        var rest = text[(close + 1)...].dropFirst()
        func skip(_ fields: Int) {
            for _ in 0..<fields { rest = rest.drop { $0 != space }.dropFirst() }
        }
        func number() -> UInt64? { decimal(rest.prefix { $0 != space }) }
        let space = UInt8(ascii: " ")
        isStopped = rest.first == UInt8(ascii: "T") || rest.first == UInt8(ascii: "t")
        isBlocked = rest.first == UInt8(ascii: "D")
        skip(1)
        guard let parent = number().flatMap(Int32.init(exactly:)) else { return nil }
        skip(5)
        guard let flags = number() else { return nil }
        skip(13)
        guard let startTime = number() else { return nil }
        self.id = id
        command = Array(text[(open + 1)..<close])
        self.parent = parent
        neverExecuted = flags & 0x40 != 0  // PF_FORKNOEXEC, include/linux/sched.h
        self.startTime = startTime
    }

    /// The arguments it was started with, each ended by NUL; the first 4096 bytes of them.
    package static func commandLine(of process: Int32) throws(Errno) -> [UInt8]? {
        try contents("cmdline", of: process)
    }
}

/// `/proc/PID/NAME`, put together without string interpolation, which takes ten times as long.
package func procFile(_ name: StaticString, of process: Int32) -> FileName {
    var path = Array("/proc/".utf8)
    appendDecimal(UInt64(clamping: process), to: &path)
    path.append(UInt8(ascii: "/"))
    name.withUTF8Buffer { unsafe path.append(contentsOf: $0) }
    return FileName(path)
}
