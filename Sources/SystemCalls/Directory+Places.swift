internal import CSystem
internal import Glibc

extension Directory {
    /// Removes a directory in which nothing is, by a path as the user gave it.
    package static func remove(path: FileName) throws(Errno) {
        _ = try call { unsafe path.withPointer { unsafe csystem_remove_directory(AT_FDCWD, $0) } }
    }

    /// Has what is made in the directory from now on written in place on btrfs, where writing needs new blocks otherwise,
    /// and fails when the device is full.
    package func writeInPlace() throws(Errno) {
        _ = try call { csystem_write_in_place(file.number) }
    }

    /// Whether that is so.
    package var writesInPlace: Bool {
        (try? call { csystem_writes_in_place(file.number) }) == 1
    }
}
