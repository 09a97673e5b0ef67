internal import SystemCalls

// Network file systems remember names that were looked up, and names that were not there, for up to a minute, and open
// a name that they remember although it is another file's by now. So another machine's change is not seen, unless the
// directory is opened again: then the server is asked whether it has changed (measured on NFSv4.2 with Linux 6.12;
// docs/decisions/0111).

extension StoreFiles {
    /// Has the next look into a directory see what other machines have changed.
    func refresh(_ directory: Directory) {
        if isLocal { return }
        // Where it cannot be opened, what is looked at next says why.
        _ = try? directory.openDirectory(".")
    }

    /// The same of a shard's directory that is open already; one that is opened is fresh.
    func refresh(shard: Int) {
        if isLocal { return }
        _ = (try? shardDirectory(shard, making: false)).map { $0.map(refresh) }
    }

    /// Opens the directory of a shard; nil where there is none.
    ///
    /// Through `entries`, opened anew, where another machine may have made the first entry of the shard.
    func openShard(_ shard: Int) throws(StoreError) -> Directory? {
        guard !isLocal else { return try openIfThere(Layout.shardPath(shard), in: root) }
        refresh(root)
        guard let entries = try openIfThere(Layout.entries, in: root) else { return nil }
        return try openIfThere(Layout.shard(shard), in: entries)
    }

    /// Has the next look at a path below one of the store's directories see what other machines have changed there.
    func refresh(_ directory: FileName) {
        if isLocal { return }
        refresh(root)
        // Opened by its name it is fresh; where it is not there, what is looked at next says so.
        _ = try? root.openDirectory(directory)
    }
}
