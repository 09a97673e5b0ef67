internal import CSystem
internal import Glibc

// What the checks of a store try out.

extension Directory {
    /// Whether a process that is forked now finds the first byte of a file locked, which this process has locked.
    package func lockExcludesChild(_ name: FileName) throws(Errno) -> Bool {
        try call { unsafe name.withPointer { unsafe csystem_lock_excludes(file.number, $0) } } == 1
    }

    /// Bytes and inodes that are free for this user; `UInt64.max` where inodes are not counted.
    package func space() throws(Errno) -> (bytes: UInt64, inodes: UInt64) {
        var bytes: UInt64 = 0
        var inodes: UInt64 = 0
        _ = try call { unsafe csystem_space(file.number, &bytes, &inodes) }
        return (bytes, inodes)
    }

    /// The directory's path from the root, without links; nil where `/proc` does not tell.
    package var path: [UInt8]? {
        Process.target(of: FileName(Array("/proc/self/fd/\(file.number)".utf8)))
    }
}
