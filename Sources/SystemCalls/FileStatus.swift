internal import CSystem
internal import Glibc

/// What `stat(2)` tells of a file.
package struct FileStatus: Sendable {
    package let device, inode: UInt64
    package let size: Int
    /// Bytes that the device has reserved for it.
    package let allocated: Int
    /// Nanoseconds since 1970.
    package let modified: Int64
    /// Type and permissions.
    package let mode: UInt32
    package let user: UInt32
    /// How many names the file has; 0 when it was removed.
    package let links: UInt32

    init(_ status: csystem_status) {
        device = status.device
        inode = status.inode
        size = Int(status.size)
        allocated = Int(status.allocated)
        modified = status.modified
        mode = status.mode
        user = status.uid
        links = status.links
    }

    package var isDirectory: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFDIR) }
    package var isRegular: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFREG) }
}
