internal import SystemCalls

// NFSv4: the server keeps the locks of a machine for as long as it hears from it, and for its lease after that. A
// machine that was out of contact for longer has lost them, and another may have them; what tells is a read by the
// right of the lock, which fails with EIO (docs/decisions/0110).

extension StoreFiles {
    /// Whether nobody may write, or this process may not.
    ///
    /// A server that exports for reading only says of existing files that there is no permission, and of new ones that
    /// the file system is read-only.
    var refusesAllWriting: Bool {
        if isReadOnly || isLocal { return isReadOnly }
        do throws(Errno) {
            let name = try Marker.privateName()
            _ = try root.open(name, .createNew(mode: 0o600))
            _ = try? root.unlink(name)
            return false
        } catch {
            return error == .readOnly
        }
    }

    /// How long the server keeps the locks of a machine that it does not hear from; nil where no server may take locks
    /// back.
    var serverLease: Duration? {
        guard isLeased else { return nil }
        // Where the kernel does not tell, a third of what most servers have.
        let entry = try? MountTable().entry(of: root)
        return (entry ?? nil).flatMap { MountTable.serverLease(of: $0) } ?? .seconds(30)
    }
}
