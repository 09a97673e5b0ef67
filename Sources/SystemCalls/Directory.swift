internal import CSystem
internal import Glibc

/// An open directory, closed when its last user lets go of it.
///
/// Every function takes a single name, or where it says so a path, and follows no symbolic link; so
/// what is opened here lies in this directory, whatever somebody planted.
package final class Directory: Sendable {
    let file: File

    private init(_ file: consuming File) { self.file = file }

    /// How a file is opened.
    ///
    /// Devices and FIFOs do not block, but are opened: look at the status.
    package enum Access: Sendable {
        case read, readWrite
        /// Fails with `exists` unless the file is new.
        case createNew(mode: UInt32)

        var flags: Int32 {
            switch self {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .createNew: O_RDWR | O_CREAT | O_EXCL
            }
        }
        var mode: UInt32 {
            if case .createNew(let mode) = self { mode } else { 0 }
        }
    }

    /// Opens a directory by a path as the user gave it, following links.
    package static func open(path: FileName) throws(Errno) -> Directory {
        let number = try call {
            unsafe path.withPointer {
                unsafe csystem_open(AT_FDCWD, $0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
            }
        }
        return Directory(File(number: Int32(number)))
    }

    /// Makes a directory by a path as the user gave it.
    package static func make(path: FileName, mode: UInt32) throws(Errno) {
        _ = try call {
            unsafe path.withPointer { unsafe csystem_make_directory(AT_FDCWD, $0, mode) }
        }
    }

    /// Opens a directory in this one.
    package func openDirectory(_ name: FileName) throws(Errno) -> Directory {
        let number = try call {
            unsafe name.withPointer {
                unsafe csystem_open(
                    file.number, $0, O_RDONLY | O_DIRECTORY | csystem_lookup_flags, 0)
            }
        }
        return Directory(File(number: Int32(number)))
    }

    /// Opens a directory somewhere below this one.
    package func openDirectory(beneath path: FileName) throws(Errno) -> Directory {
        let number = try call {
            unsafe path.withPointer {
                unsafe csystem_open_beneath(
                    file.number, $0, O_RDONLY | O_DIRECTORY | csystem_lookup_flags, 0)
            }
        }
        return Directory(File(number: Int32(number)))
    }

    /// Opens a file in this directory.
    package func open(_ name: FileName, _ access: Access) throws(Errno) -> File {
        let number = try call {
            unsafe name.withPointer {
                unsafe csystem_open(
                    file.number, $0, access.flags | csystem_lookup_flags, access.mode)
            }
        }
        return File(number: Int32(number))
    }

    /// Opens a file here or below that carries locks; see `LockFile`.
    package func openLockFile(_ name: FileName, _ access: Access) throws(Errno) -> LockFile {
        let number = try call {
            unsafe name.withPointer {
                unsafe csystem_open_lock_file(
                    file.number, $0, access.flags | csystem_lookup_flags, access.mode)
            }
        }
        return LockFile(number: Int32(number))
    }

    package func makeDirectory(_ name: FileName, mode: UInt32) throws(Errno) {
        _ = try call {
            unsafe name.withPointer { unsafe csystem_make_directory(file.number, $0, mode) }
        }
    }

    /// Removes a directory in which nothing is.
    package func removeDirectory(_ name: FileName) throws(Errno) {
        _ = try call {
            unsafe name.withPointer { unsafe csystem_remove_directory(file.number, $0) }
        }
    }

    /// What `lstat(2)` says of a name; nil if there is none.
    package func status(of name: FileName) throws(Errno) -> FileStatus? {
        var status = csystem_status()
        do throws(Errno) {
            _ = try call {
                unsafe name.withPointer { unsafe csystem_status_at(file.number, $0, &status) }
            }
        } catch {
            if error == .noEntry { return nil }
            throw error
        }
        return FileStatus(status)
    }

    package func status() throws(Errno) -> FileStatus { try file.status() }

    /// Whether the user of this process owns the directory, as the kernel judges it.
    ///
    /// In a user namespace all users without a number there are shown as one, which may be the number of this
    /// process too. With `CAP_FOWNER` it is true for every owner that has a number there.
    package func isOwned() throws(Errno) -> Bool {
        try call { csystem_owns_directory(file.number) } == 1
    }

    /// Gives a file a second name; fails with `exists` if that is taken.
    package func link(_ name: FileName, as other: FileName) throws(Errno) {
        _ = try call {
            unsafe name.withPointer { from in
                unsafe other.withPointer { unsafe csystem_link(file.number, from, $0) }
            }
        }
    }

    /// Renames in one step, unless the new name is taken: then it fails with `exists`, and with `invalid` where the
    /// file system does not know this call.
    package func renameNew(
        _ name: FileName, to other: FileName, in target: Directory
    ) throws(Errno) {
        _ = try call {
            unsafe name.withPointer { from in
                unsafe other.withPointer {
                    unsafe csystem_rename_new(file.number, from, target.file.number, $0)
                }
            }
        }
    }

    /// Lets two names change places in one step; fails with `invalid` where the file system does not know this call.
    package func exchange(_ name: FileName, with other: FileName) throws(Errno) {
        _ = try call {
            unsafe name.withPointer { one in
                unsafe other.withPointer { unsafe csystem_rename_exchange(file.number, one, $0) }
            }
        }
    }

    /// Renames in one step, replacing what has the new name.
    package func rename(
        _ name: FileName, to other: FileName, in target: Directory? = nil
    ) throws(Errno) {
        let targetNumber = (target ?? self).file.number
        _ = try call {
            unsafe name.withPointer { from in
                unsafe other.withPointer {
                    unsafe csystem_rename(file.number, from, targetNumber, $0)
                }
            }
        }
    }

    /// Removes a name; false if there was none.
    @discardableResult
    package func unlink(_ name: FileName) throws(Errno) -> Bool {
        do throws(Errno) {
            _ = try call { unsafe name.withPointer { unsafe csystem_unlink(file.number, $0) } }
            return true
        } catch {
            if error == .noEntry { return false }
            throw error
        }
    }

    /// Sets a file's modification time to now.
    package func touch(_ name: FileName) throws(Errno) {
        _ = try call { unsafe name.withPointer { unsafe csystem_touch(file.number, $0) } }
    }

    /// Takes a shared `flock(2)` on the directory, for as long as it is open; false where another process
    /// has an exclusive one.
    package func share() throws(Errno) -> Bool {
        do throws(Errno) {
            _ = try call { csystem_share(file.number) }
            return true
        } catch {
            if error == .wouldBlock { return false }
            throw error
        }
    }

    /// When it was made, in nanoseconds since 1970; nil where the file system does not record it.
    package func birthTime() throws(Errno) -> Int64? { try file.birthTime() }

    /// Keeps the directory open in the program that this process is about to execute.
    package func keepThroughExecution() throws(Errno) {
        _ = try call { csystem_keep_through_execution(file.number) }
    }

    /// Whether names that differ only by case mean one file here; false where the directory does not say, or
    /// may not be asked (a seccomp filter, a security module).
    package func foldsCase() throws(Errno) -> Bool {
        var flags: UInt32 = 0
        do throws(Errno) {
            _ = try call { unsafe csystem_inode_flags(file.number, &flags) }
        } catch {
            let silence: [Errno] = [
                .noSuchOperation, .notSupported, .invalid, .noPermission, .notPermitted,
            ]
            guard silence.contains(error) else { throw error }
            flags = 0
        }
        #if DEBUG
        flags = Faults.inodeFlags ?? flags
        #endif
        return flags & csystem_folds_case != 0
    }

    /// Returns when the directory's names are on the device.
    package func sync() throws(Errno) { try file.sync() }

    package func changeMode(to mode: UInt32) throws(Errno) { try file.changeMode(to: mode) }

    /// The magic number of the file system, and whether it is mounted read-only.
    package func fileSystem() throws(Errno) -> (magic: UInt64, isReadOnly: Bool) {
        var magic: UInt64 = 0
        var isReadOnly: Int32 = 0
        _ = try call { unsafe csystem_file_system(file.number, &magic, &isReadOnly) }
        #if DEBUG
        magic = Faults.fileSystem ?? magic
        #endif
        return (magic, isReadOnly != 0)
    }

    /// Calls a closure with every name but `.` and `..`, until it returns false.
    ///
    /// A name that is added or removed meanwhile is seen or not; hold what excludes that.
    package func forEachName(
        _ body: (UnsafeBufferPointer<UInt8>) throws(Errno) -> Bool
    ) throws(Errno) {
        try unsafe forEachFile { (name, _) throws(Errno) in try unsafe body(name) }
    }

    /// The same, and of each name whether it may be that of a regular file: not all file systems say.
    package func forEachFile(
        _ body: (UnsafeBufferPointer<UInt8>, _ mayBeRegular: Bool) throws(Errno) -> Bool
    ) throws(Errno) {
        // A description of its own: the position of a shared one belongs to everybody.
        let listing = try openDirectory(".")
        // 32 KiB: fewer calls than glibc's, and still small.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 << 10, alignment: 8)
        defer { unsafe buffer.deallocate() }
        while true {
            let count = try call {
                unsafe csystem_read_directory(listing.file.number, buffer.baseAddress, buffer.count)
            }
            if count == 0 { return }
            let entries = unsafe UnsafeRawBufferPointer(rebasing: buffer.prefix(Int(count)))
            if try !(unsafe Self.forEachEntry(entries, body)) { return }
        }
    }

    /// The layout of `struct linux_dirent64`: inode, offset, record length (2 bytes at 16), type, name.
    private static func forEachEntry(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (UnsafeBufferPointer<UInt8>, _ mayBeRegular: Bool) throws(Errno) -> Bool
    ) throws(Errno) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let length = Int(
                unsafe bytes.loadUnaligned(fromByteOffset: offset + 16, as: UInt16.self))
            let type = unsafe bytes[offset + 18]
            let field = unsafe UnsafeRawBufferPointer(
                rebasing: bytes[(offset + 19)..<(offset + length)])
            offset += length
            let end = unsafe field.firstIndex(of: 0) ?? field.count
            let name = unsafe UnsafeRawBufferPointer(rebasing: field.prefix(end))
            if unsafe end <= 2 && name.allSatisfy({ $0 == UInt8(ascii: ".") }) { continue }
            let mayBeRegular = type == UInt8(DT_REG) || type == UInt8(DT_UNKNOWN)
            if try !(unsafe body(name.assumingMemoryBound(to: UInt8.self), mayBeRegular)) {
                return false
            }
        }
        return true
    }
}
