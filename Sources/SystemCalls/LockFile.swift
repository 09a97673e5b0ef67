internal import CSystem

/// An open file whose byte ranges are locked: open-file-description locks of `fcntl(2)`.
///
/// The locks belong to this open file; the kernel drops them when it is closed, however that comes
/// about. In a child forked without exec it is closed before the child's code runs, and this value is
/// dead there: every call fails with EBADF or answers for somebody else's file, so compare
/// `ForkEpoch.current` first.
package struct LockFile: ~Copyable, Sendable {
    package let number: Int32
    private let epoch: UInt32

    init(number: Int32) {
        self.number = number
        epoch = csystem_fork_epoch()
    }

    deinit { csystem_close_lock_file(number, epoch) }

    package enum Mode: Int32, Sendable { case shared = 1, exclusive = 2 }

    /// Takes a lock if nobody else has one in its way.
    package func tryLock(_ mode: Mode, at offset: Int, count: Int = 1) throws(Errno) -> Bool {
        do throws(Errno) {
            _ = try call { csystem_lock(number, mode.rawValue, Int64(offset), Int64(count)) }
            return true
        } catch {
            if error == .wouldBlock { return false }
            throw error
        }
    }

    /// Drops the lock on a range; false where the kernel would not, and only closing the file does.
    ///
    /// It cannot fail but by lack of memory for splitting a range, and ranges here are dropped as they were
    /// taken.
    @discardableResult
    package func unlock(at offset: Int, count: Int = 1) -> Bool {
        csystem_lock(number, Int32(csystem_unlocked), Int64(offset), Int64(count)) == 0
    }

    /// Whether somebody else has a lock there, of any kind; one's own do not count.
    package func isLockedByOthers(at offset: Int, count: Int = 1) throws(Errno) -> Bool {
        try call { csystem_lock_of_others(number, Int64(offset), Int64(count)) } != 0
    }

    /// The first byte there of a lock that somebody else has; nil where nobody has one.
    ///
    /// Of several locks it is one that the kernel has found first: not the lowest.
    package func byteOfOthers(at offset: Int, count: Int) throws(Errno) -> Int? {
        var first: Int64 = 0
        let isThere = try call {
            unsafe csystem_first_lock_of_others(number, Int64(offset), Int64(count), &first)
        }
        return isThere == 0 ? nil : Int(first)
    }

    /// Keeps the file, and its locks, in the program that this process is about to execute.
    ///
    /// Whoever that program forks has them too.
    package func keepThroughExecution() throws(Errno) {
        _ = try call { csystem_keep_through_execution(number) }
    }

    /// Calls a closure with the file: for one that is kept in an optional.
    package func with<R>(_ body: (borrowing LockFile) throws(Errno) -> R) throws(Errno) -> R {
        try body(self)
    }

    package func with(_ body: (borrowing LockFile) -> Void) { body(self) }

    package func status() throws(Errno) -> FileStatus {
        var status = csystem_status()
        _ = try call { unsafe csystem_status(number, &status) }
        return FileStatus(status)
    }

    /// Sets the times of access and modification to now.
    package func renew() throws(Errno) { _ = try call { csystem_renew(number) } }

    /// Reads at an offset with one call: fewer bytes than asked for when the file ends before.
    package func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(Errno)
        -> Int
    {
        Int(
            try call {
                unsafe csystem_pread(number, bytes.baseAddress, bytes.count, Int64(offset))
            })
    }

    /// The file's first bytes, no more than that many.
    package func contents(upTo limit: Int) throws(Errno) -> [UInt8] {
        try unsafe collect(upTo: limit) { (bytes) throws(Errno) in
            try unsafe read(into: bytes, at: 0)
        }
    }

    /// Reads the file's first byte from where it is kept: on a network file system by the right of the locks of this
    /// open file.
    ///
    /// - Throws: `.inputOutput` where an NFS server has taken the locks back. Blocks as long as it does not answer. Says
    ///   nothing of an empty file, for which nobody is asked.
    package func readThrough() throws(Errno) {
        #if DEBUG
        if let result = Faults.askServer() { throw Errno(code: Int32(-result)) }
        #endif
        _ = try call { csystem_read_through(number) }
    }

    /// Writes every byte at an offset.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(Errno) {
        try unsafe writeDescriptor(number, bytes, at: offset)
    }

    /// Writes every byte at an offset.
    package func write(_ bytes: [UInt8], at offset: Int) throws(Errno) {
        try unsafe bytes.span.withUnsafeBytes { (bytes) throws(Errno) in
            try unsafe writeDescriptor(number, bytes, at: offset)
        }
    }

    /// Returns when the file's bytes are where it is kept, and other machines see them.
    package func sync() throws(Errno) {
        let result = csystem_sync(number)
        if result < 0 { throw Errno(code: Int32(-result)) }
    }

    package func changeMode(to mode: UInt32) throws(Errno) {
        _ = try call { csystem_change_mode(number, mode) }
    }

    /// Reserves blocks for a file of that size, so that writing to it later needs none; what is there stays.
    package func allocate(_ size: Int) throws(Errno) {
        _ = try call { csystem_allocate(number, Int64(size)) }
    }
}

/// Forks without exec, as the process sees them.
package enum ForkEpoch {
    /// A number that is another one in a forked child.
    package static var current: UInt32 { csystem_fork_epoch() }

    /// Until `release`, no thread of this process forks, nor holds.
    ///
    /// May be nested. Nothing in between may block: no system call on a file, no wait for another thread.
    package static func hold() { csystem_hold_forks() }
    package static func release() { csystem_release_forks() }
}
