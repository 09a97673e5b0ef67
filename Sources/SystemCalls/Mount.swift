internal import CSystem

/// What the kernel's table of mounts says of a directory.
package struct Mount {
    package enum Kind: Equatable {
        /// On a disk of this machine, so that what `statfs(2)` says is this machine's word.
        case onDisk
        /// The file system's name, such as `tmpfs`, `nfs4` or `9p`.
        case of(type: String)
    }

    package let kind: Kind
    /// The file system's own options, as `/proc/self/mountinfo` has them, parted by commas; empty unless asked for.
    package let options: String

    init(kind: Kind, options: String) {
        self.kind = kind
        self.options = options
    }

    /// nil where the table does not tell.
    init?(of file: Int32, withOptions: Bool) throws(Errno) {
        var mount = csystem_mount()
        _ = try call { unsafe csystem_mount(file, withOptions ? 1 : 0, &mount) }
        let type = unsafe withUnsafeBytes(of: mount.type) { unsafe text(in: $0) }
        options = unsafe withUnsafeBytes(of: mount.options) { unsafe text(in: $0) }
        if mount.has_device != 0 {
            kind = .onDisk
        } else if type.isEmpty {
            return nil
        } else {
            kind = .of(type: type)
        }
    }
}

extension Directory {
    /// What the table of mounts says of it; nil where that is not to be had, as in some chroots.
    ///
    /// - Parameter withOptions: whether the file system's own options are wanted, for which the whole table is read.
    package func mount(withOptions: Bool) throws(Errno) -> Mount? {
        #if DEBUG
        if Faults.fileSystem != nil { return Faults.mount }
        #endif
        return try Mount(of: file.number, withOptions: withOptions)
    }
}

private func text(in bytes: UnsafeRawBufferPointer) -> String {
    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
}
