internal import SystemCalls

// The directories in which leases, and sightings of what other machines hold, are kept.

extension OpenStore {
    /// The directory of a shard's leases; nil when it is not there and is not to be made.
    func leaseDirectory(_ shard: Int, making: Bool) throws(StoreError) -> Directory? {
        files.refresh(Layout.leases)
        do throws(Errno) {
            return try root.openDirectory(beneath: Layout.leasePath(shard))
        } catch {
            guard error == .noEntry else {
                throw StoreError(error, "open", path: leaseDirectoryPath(shard))
            }
        }
        guard making else { return nil }
        _ = try locksDirectory()
        try files.makeDirectory(Layout.leases, in: root)
        let leases = try attempt("open", path) { () throws(Errno) in
            try root.openDirectory(Layout.leases)
        }
        try files.makeDirectory(Layout.shard(shard), in: leases, at: Layout.leasePath(shard))
        return try attempt("open", path) { () throws(Errno) in
            try leases.openDirectory(Layout.shard(shard))
        }
    }

    func leaseDirectoryPath(_ shard: Int) -> String {
        "\(path)/" + String(decoding: Layout.leasePath(shard).bytes, as: UTF8.self)
    }
}
