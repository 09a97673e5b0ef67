internal import CSystem
internal import Glibc

/// What `stat(2)` tells of a file.
package struct FileStatus: Sendable {
    package let device, inode: UInt64
    package let size: Int
    /// Bytes that the device has reserved for it.
    package let allocated: Int
    /// Nanoseconds since 1970; at the ends of the range where the time is beyond it.
    package let modified: Int64
    package let accessed: Int64
    /// When the file itself was last changed, of a directory also when a name in it came or went: nobody can set it.
    package let changed: Int64
    /// Type and permissions.
    package let mode: UInt32
    package let user: UInt32
    package let group: UInt32
    /// How many names the file has; 0 when it was removed.
    package let links: UInt32

    init(_ status: csystem_status) {
        device = status.device
        inode = status.inode
        size = Int(clamping: status.size)
        allocated = Int(clamping: status.allocated)
        modified = status.modified
        changed = status.changed
        mode = status.mode
        accessed = status.accessed
        user = status.uid
        group = status.gid
        links = status.links
    }

    /// What `stat(2)` says of a path as the user gave it, following links.
    package static func of(path: FileName) throws(Errno) -> FileStatus {
        var status = csystem_status()
        _ = try call {
            unsafe path.withPointer { unsafe csystem_status_of_path($0, &status) }
        }
        return FileStatus(status)
    }

    package var isDirectory: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFDIR) }
    package var isFIFO: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFIFO) }
    package var isRegular: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFREG) }
}
