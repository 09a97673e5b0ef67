internal import CSystem
internal import Glibc

/// This process, and what the kernel tells of others.
package enum Process {
    package static var id: Int32 { csystem_process_id() }
    package static var parent: Int32 { csystem_parent_process_id() }
    package static var user: UInt32 { csystem_user_id() }

    /// The name of this process's program, as `/proc/self/comm` has it, in at most 15 bytes; nil where it cannot be told.
    package static var programName: [UInt8]? {
        var name = [CChar](repeating: 0, count: 16)
        // Two calls in place of three, and without `/proc`.
        if unsafe csystem_program_name(&name) != 0 {
            return name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        }
        return contents(of: "/proc/self/comm", upTo: 64)
            .map { Array($0.prefix { $0 != UInt8(ascii: "\n") }) }
    }

    /// Whether a group is this process's own or one of its supplementary groups.
    package static func isInGroup(_ group: UInt32) throws(Errno) -> Bool {
        try call { csystem_is_in_group(group) } == 1
    }

    /// The number that stands for every group without a number in this user namespace.
    package static var overflowGroup: UInt32 {
        let text = contents(of: "/proc/sys/kernel/overflowgid", upTo: 16) ?? []
        let digits = text.prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        // The kernel's default, which is hardly ever changed.
        return UInt32(String(decoding: digits, as: UTF8.self)) ?? 65534
    }

    /// How many descriptors this process may have open.
    package static var descriptorLimit: Int {
        Int(clamping: csystem_descriptor_limit())
    }

    /// Whether a process of that number exists; somebody else's counts.
    package static func exists(_ process: Int32) -> Bool {
        let result = csystem_signal(process, 0)
        return result == 0 || result == -Int64(EPERM)
    }

    /// The inode of a namespace of this process, from a link such as `/proc/self/ns/pid`, whose target
    /// is `pid:[4026531836]`; nil when it cannot be read.
    ///
    /// Following the link instead makes the kernel build an inode: 28 µs where reading it takes 3.
    package static func namespace(_ path: FileName) -> UInt64? {
        (try? namespaceIfThere(path)) ?? nil
    }

    /// The same; nil only when there is no such link.
    package static func namespaceIfThere(_ path: FileName) throws(Errno) -> UInt64? {
        guard let target = try targetIfThere(of: path), target.last == UInt8(ascii: "]"),
            let open = target.firstIndex(of: UInt8(ascii: "["))
        else { return nil }
        var inode: UInt64 = 0
        for byte in target[(open + 1)...].dropLast() {
            guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
            inode = inode &* 10 &+ UInt64(byte - UInt8(ascii: "0"))
        }
        return inode
    }

    /// What a symbolic link says; nil when it cannot be read.
    package static func target(of path: FileName) -> [UInt8]? {
        (try? targetIfThere(of: path)) ?? nil
    }

    /// The same; nil only when there is no such link.
    package static func targetIfThere(of path: FileName) throws(Errno) -> [UInt8]? {
        try unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) {
            (buffer) throws(Errno) in
            let count = unsafe path.withPointer { path in
                unsafe buffer.withMemoryRebound(to: CChar.self) {
                    unsafe csystem_read_link(path, $0.baseAddress, $0.count)
                }
            }
            guard count < 0 else { return unsafe [UInt8](buffer.prefix(Int(count))) }
            let error = Errno(code: Int32(truncatingIfNeeded: -count))
            guard error.meansNothingThere else { throw error }
            return nil
        }
    }

    /// A path that leads to the working directory; nil where there is none.
    ///
    /// Not what `/proc/self/cwd` says: of a directory on a file system that was detached it tells a path that
    /// may be another directory's.
    package static var workingDirectory: [UInt8]? {
        unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            let count = unsafe buffer.withMemoryRebound(to: CChar.self) {
                unsafe csystem_working_directory($0.baseAddress, $0.count)
            }
            return unsafe count < 0 ? nil : [UInt8](buffer.prefix(Int(count)))
        }
    }

    /// The first bytes of a file of `/proc`; nil when it cannot be read.
    ///
    /// For messages. Where something is decided, nil must not mean that descriptors are short.
    package static func contents(of path: FileName, upTo limit: Int = 4096) -> [UInt8]? {
        (try? contentsIfThere(of: path, upTo: limit)) ?? nil
    }

    /// The first bytes of a file of `/proc`; nil only when it is not there.
    package static func contentsIfThere(
        of path: FileName, upTo limit: Int = 4096
    ) throws(Errno) -> [UInt8]? {
        do throws(Errno) {
            let file = try File.open(path: path)
            // One read: the kernel makes such a file's content anew for each.
            return try unsafe collect(upTo: limit) { (bytes) throws(Errno) in
                try unsafe file.read(into: bytes)
            }
        } catch {
            guard error.meansNothingThere else { throw error }
            return nil
        }
    }

    /// Makes a closed pipe and a file over the size limit come back as errors instead of signals, and
    /// lets files be made with exactly the permissions asked for.
    ///
    /// For a process of our own. A command that it runs begins as it was started itself.
    package static func prepare() { csystem_prepare_process() }

    /// The variables of this process, each as `NAME=VALUE`.
    package static var environment: [[UInt8]] {
        var variables: [[UInt8]] = []
        while let variable = unsafe csystem_environment_at(variables.count) {
            let count = unsafe strlen(variable)
            unsafe variable.withMemoryRebound(to: UInt8.self, capacity: count) {
                unsafe variables.append([UInt8](UnsafeBufferPointer(start: $0, count: count)))
            }
        }
        return variables
    }

    /// Blocks what would end this process, such as TERM, in this thread until `unblockTermination`.
    package static func blockTermination() { csystem_block_termination(1) }
    package static func unblockTermination() { csystem_block_termination(0) }

    package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// How many characters a line of a terminal has; nil where it does not say so.
    package static func lineWidth(of terminal: Int32) -> Int? {
        let width = csystem_line_width(terminal)
        return width > 0 ? Int(width) : nil
    }

    /// Opens `/dev/null` on each of the descriptors 0 to 2 that is closed, so that no file of ours gets
    /// such a number and a message is never written into it.
    ///
    /// Standard input is opened for writing and the others for reading on purpose: reading a closed input must
    /// fail and not give an empty value, and writing to a closed output must fail and not succeed silently.
    package static func openStandardDescriptors() {
        for number: Int32 in 0...2 where fcntl(number, F_GETFD) < 0 {
            // The lowest free number is the one that was found closed.
            _ = unsafe csystem_open(AT_FDCWD, "/dev/null", number == 0 ? O_WRONLY : O_RDONLY, 0)
        }
    }
}

/// A process held by a descriptor, so that its number cannot come to mean another.
package struct ProcessDescriptor: ~Copyable {
    private let file: File

    /// Fails with `noSuchProcess` when there is none, `invalid` or `noEntry` when the number belongs
    /// to a thread that is not its process's first.
    package init(_ process: Int32) throws(Errno) {
        file = File(number: Int32(try call { csystem_pidfd_open(process) }))
    }

    /// A number that no other process of this boot has had or will have; nil before Linux 6.9.
    package func inode() throws(Errno) -> UInt64? {
        var inode: UInt64 = 0
        _ = try call { unsafe csystem_pidfd_inode(file.number, &inode) }
        return inode == 0 ? nil : inode
    }

    /// Whether all of the process's threads have ended.
    package func hasExited() throws(Errno) -> Bool {
        try call { csystem_pidfd_has_exited(file.number) } == 1
    }

    /// Waits for that, no longer than so.
    package func waitForExit(upTo limit: Duration) throws(Errno) {
        _ = try waitForAny([(file.number, false)], upTo: limit)
    }
}
