internal import CSystem
internal import Glibc

/// An open file, closed when it goes out of scope.
///
/// No function here waits for anything but the device.
package struct File: ~Copyable, Sendable {
    package let number: Int32

    init(number: Int32) { self.number = number }

    deinit { _ = csystem_close(number) }

    /// Opens a path as the user gave it, following links.
    package static func open(path: FileName) throws(Errno) -> File {
        let number = try call {
            unsafe path.withPointer { unsafe csystem_open(AT_FDCWD, $0, O_RDONLY | O_CLOEXEC, 0) }
        }
        return File(number: Int32(number))
    }

    /// The same without waiting for the writer of a FIFO, or for data later: `readDescriptor` waits for these.
    package static func openInput(path: FileName) throws(Errno) -> File {
        let number = try call {
            unsafe path.withPointer {
                unsafe csystem_open(AT_FDCWD, $0, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0)
            }
        }
        return File(number: Int32(number))
    }

    /// What `fstat(2)` says.
    package func status() throws(Errno) -> FileStatus {
        var status = csystem_status()
        _ = try call { unsafe csystem_status(number, &status) }
        return FileStatus(status)
    }

    /// Sets the times of access and modification to now.
    package func renew() throws(Errno) { _ = try call { csystem_renew(number) } }

    /// When the file was made, in nanoseconds since 1970; nil where the file system does not record it.
    package func birthTime() throws(Errno) -> Int64? {
        var time: Int64 = 0
        _ = try call { unsafe csystem_birth_time(number, &time) }
        return time == 0 ? nil : time
    }

    /// Reads at the file's position; fewer bytes than asked for means the end is near, 0 that it is here.
    package func read(into bytes: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        Int(try call { unsafe csystem_read(number, bytes.baseAddress, bytes.count) })
    }

    /// Reads at an offset, until the buffer is full or the file ends.
    package func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(Errno)
        -> Int
    {
        var done = 0
        while done < bytes.count {
            let count = try call {
                unsafe csystem_pread(
                    number, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done,
                    Int64(offset + done))
            }
            if count == 0 { break }
            done += Int(count)
        }
        return done
    }

    /// Reads at an offset with one call; fewer bytes than asked for do not mean the end.
    package func readOnce(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(Errno) -> Int {
        Int(
            try call { unsafe csystem_pread(number, bytes.baseAddress, bytes.count, Int64(offset)) }
        )
    }

    /// The file's bytes from an offset on, no more than that many.
    package func contents(upTo limit: Int, at offset: Int = 0) throws(Errno) -> [UInt8] {
        try unsafe collect(upTo: limit) { (bytes) throws(Errno) in
            try unsafe read(into: bytes, at: offset)
        }
    }

    /// Writes every byte at the file's position.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) {
        var done = 0
        while done < bytes.count {
            let count = try call {
                unsafe csystem_write(
                    number, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done)
            }
            if count == 0 { throw .inputOutput }
            done += Int(count)
        }
    }

    /// Writes every byte at the file's position.
    package func write(_ bytes: [UInt8]) throws(Errno) {
        try unsafe bytes.span.withUnsafeBytes { (bytes) throws(Errno) in
            try unsafe write(bytes)
        }
    }

    /// Writes every byte at an offset.
    package func write(_ bytes: [UInt8], at offset: Int) throws(Errno) {
        try unsafe bytes.span.withUnsafeBytes { (bytes) throws(Errno) in
            try unsafe writeDescriptor(number, bytes, at: offset)
        }
    }

    /// Writes every byte at an offset.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(Errno) {
        try unsafe writeDescriptor(number, bytes, at: offset)
    }

    /// Writes a small record at an offset, all of it or nothing.
    ///
    /// A limit on the size of files would let a part of it be written, and end a process that has not ignored
    /// the signal: where the limit is inside the record nothing is tried.
    package func writeWhole(_ bytes: [UInt8], at offset: Int) throws(Errno) {
        guard offset + bytes.count <= Self.sizeLimit else { throw .fileTooBig }
        try write(bytes, at: offset)
    }

    /// What one read yields, for files that were written whole by one call.
    package func contentsOnce(upTo limit: Int) throws(Errno) -> [UInt8] {
        try unsafe collect(upTo: limit) { (bytes) throws(Errno) in
            try unsafe readOnce(into: bytes, at: 0)
        }
    }

    /// Reads from an offset to the end through a buffer of that size, and returns how much it was.
    package func forEachPiece(
        from offset: Int, upTo size: Int,
        _ body: (UnsafeRawBufferPointer) throws(Errno) -> Void
    ) throws(Errno) -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var done = 0
        while true {
            let count = try unsafe read(into: buffer, at: offset + done)
            if count == 0 { return done }
            try unsafe body(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
            done += count
        }
    }

    /// Cuts the file to a size.
    package func truncate(to size: Int) throws(Errno) {
        _ = try call { csystem_truncate(number, Int64(size)) }
    }

    /// Reserves blocks for a new file of that size, so that writing to it later needs none.
    package func allocate(_ size: Int) throws(Errno) {
        _ = try call { csystem_allocate(number, Int64(size)) }
    }

    /// Returns when the file's bytes are on the device.
    ///
    /// A failure must not be tried again on this descriptor: the kernel has then forgotten both the
    /// error and the bytes.
    package func sync() throws(Errno) {
        let result = csystem_sync(number)
        if result < 0 { throw Errno(code: Int32(-result)) }
    }

    /// The same for the bytes alone and what is needed to read them again (`fdatasync(2)`).
    package func syncData() throws(Errno) {
        #if DEBUG
        let result = Faults.reach() ?? csystem_sync_data(number)
        #else
        let result = csystem_sync_data(number)
        #endif
        if result < 0 { throw Errno(code: Int32(-result)) }
    }

    /// Reserves blocks for bytes from an offset on, so that writing there later needs none; the file is made longer
    /// where it ends before.
    package func allocate(_ count: Int, at offset: Int) throws(Errno) {
        _ = try call { csystem_allocate_range(number, Int64(offset), Int64(count)) }
    }

    /// The largest size that this process may give a file: going beyond it raises SIGXFSZ, which ends a process that
    /// does not ignore it.
    package static var sizeLimit: Int { Int(csystem_file_size_limit()) }

    /// What lock somebody else has there; nil for none.
    package func lockOfOthers(at offset: Int) throws(Errno) -> LockFile.Mode? {
        LockFile.Mode(
            rawValue: Int32(try call { csystem_lock_of_others(number, Int64(offset), 1) }))
    }

    /// All locks there that others have, by their first bytes; what is locked and released meanwhile may be missed.
    ///
    /// The kernel tells one of a range, and not the first: each parts what is left to ask for.
    package func locksOfOthers(in range: Range<Int>) throws(Errno) -> [Int: LockFile.Mode] {
        var found: [Int: LockFile.Mode] = [:]
        var open = [range]
        while let part = open.popLast() {
            guard !part.isEmpty else { continue }
            var (first, end): (Int64, Int64) = (0, 0)
            let kind = try call {
                unsafe csystem_find_lock_of_others(
                    number, Int64(part.lowerBound), Int64(part.count), &first, &end)
            }
            guard let mode = LockFile.Mode(rawValue: Int32(kind)) else { continue }
            found[Int(first)] = mode
            open.append(part.lowerBound..<Int(first))
            open.append(Int(end)..<part.upperBound)
        }
        return found
    }

    /// Whether somebody else has a lock there; one's own do not count.
    package func isLockedByOthers(at offset: Int, count: Int = 1) throws(Errno) -> Bool {
        try call { csystem_lock_of_others(number, Int64(offset), Int64(count)) } != 0
    }

    /// Has the file, which is empty, written in place on btrfs; see `Directory.writeInPlace`.
    package func writeInPlace() throws(Errno) { _ = try call { csystem_write_in_place(number) } }

    /// Sets the permissions, whatever the umask.
    package func changeMode(to mode: UInt32) throws(Errno) {
        _ = try call { csystem_change_mode(number, mode) }
    }

    /// Maps the whole file for reading; nil when the kernel will not.
    package func map(count: Int) -> UnsafeRawBufferPointer? {
        guard let base = unsafe csystem_map(number, count) else { return nil }
        return unsafe UnsafeRawBufferPointer(start: base, count: count)
    }

    /// Gives back what `map` returned.
    package static func unmap(_ bytes: UnsafeRawBufferPointer) {
        unsafe csystem_unmap(bytes.baseAddress, bytes.count)
    }
}

/// An array of what a closure reads into a buffer of that size, which says how much it was.
func collect(
    upTo limit: Int, _ read: (UnsafeMutableRawBufferPointer) throws(Errno) -> Int
) throws(Errno) -> [UInt8] {
    var contents = [UInt8](repeating: 0, count: limit)
    var span = contents.mutableSpan
    let count = try unsafe span.withUnsafeMutableBytes(read)
    contents.removeLast(limit - count)
    return contents
}

func writeDescriptor(
    _ number: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int
) throws(Errno) {
    var done = 0
    while done < bytes.count {
        let count = try call {
            unsafe csystem_pwrite(
                number, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done,
                Int64(offset + done))
        }
        if count == 0 { throw .inputOutput }
        done += Int(count)
    }
}

extension Directory {
    /// Opens a file somewhere below this directory.
    package func open(beneath path: FileName, _ access: Access) throws(Errno) -> File {
        let number = try call {
            unsafe path.withPointer {
                unsafe csystem_open_beneath(
                    file.number, $0, access.flags | csystem_lookup_flags, access.mode)
            }
        }
        return File(number: Int32(number))
    }
}
