import Glibc

/// A directory of its own for a test, removed with all that is in it when the value goes away.
///
/// In memory where that is possible: creating files is slow on some disks.
package final class TemporaryDirectory: Sendable {
    package let path: String

    package init() {
        let base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(base)/flock-cache-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { fatalError("mkdtemp: errno \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { removeTree(path) }

    /// The path of something in it.
    package func callAsFunction(_ name: String) -> String { path + "/" + name }
}

/// Removes a file or directory and everything below it, whatever bytes the names are.
package func removeTree(_ path: String) { removeTree(Array(path.utf8CString)) }

private func removeTree(_ path: [CChar]) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
        unlink(path)
        return
    }
    chmod(path, 0o700)
    let folder = path.dropLast() + "/".utf8CString.dropLast()
    for name in rawNames(in: path) { removeTree(folder + name) }
    rmdir(path)
}

/// Removes a directory that others may be making anew meanwhile: they find all of it, or nothing.
///
/// Name by name it could lose the marker of the one that was just made, and nobody touches a directory without.
package func removeAtOnce(_ path: String) {
    let removed = path + ".removed"
    guard rename(path, removed) == 0 else { fatalError("rename: errno \(errno)") }
    removeTree(removed)
}

/// The names in a directory but `.` and `..`; none if there is no such directory.
package func names(in path: String) -> [String] {
    let names = rawNames(in: Array(path.utf8CString)).map { name in
        String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    return names.sorted()
}

private func rawNames(in path: [CChar]) -> [[CChar]] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [[CChar]] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
            }
        }
        if name != Array(".".utf8CString) && name != Array("..".utf8CString) { names.append(name) }
    }
    return names
}

/// The bytes of a file; nil if it cannot be read.
package func contents(of path: String) -> [UInt8]? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return bytes }
        bytes.append(contentsOf: buffer[..<count])
    }
}

/// Writes a file anew.
package func write(_ bytes: some Collection<UInt8>, to path: String) {
    guard let file = fopen(path, "w") else { fatalError("cannot write \(path): errno \(errno)") }
    let array = Array(bytes)
    guard fwrite(array, 1, array.count, file) == array.count, fclose(file) == 0 else {
        fatalError("cannot write \(path): errno \(errno)")
    }
}
