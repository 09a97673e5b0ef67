internal import SystemCalls

// Where the files of leases are: opened, made, listed.

extension OpenStore {
    /// The directory of a shard's leases; nil when it is not there and is not to be made.
    func leaseDirectory(_ shard: Int, making: Bool) throws(StoreError) -> Directory? {
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

    /// A lease's file; nil when there is none and none is to be made.
    ///
    /// What is made is empty, which says that nobody ever had the lease: whoever is killed behind that has
    /// left nothing to clean up.
    ///
    /// - Parameter writing: for who only looks, false: then it need not be permitted.
    func leaseFile(
        _ name: EntryName, making: Bool, writing: Bool = true
    ) throws(StoreError) -> LeaseFile? {
        guard let directory = try leaseDirectory(name.shard, making: making) else { return nil }
        let path = leasePath(name)
        let boot = try place().boot
        while true {
            do throws(Errno) {
                let access: Directory.Access = writing && !isReadOnly ? .readWrite : .read
                let file = try directory.open(name.ready, access)
                guard try file.status().isRegular else { throw Errno.notADirectory }
                return try LeaseFile(file, path: path, boot: boot)
            } catch {
                guard error == .noEntry else { throw StoreError(error, "open", path: path) }
            }
            guard making else { return nil }
            try attempt("make", path) { () throws(Errno) in
                try marker.makeFile(name.ready, in: directory, of: root)
                if isDurable { try directory.sync() }
            }
        }
    }

    /// All that has ever been leased; what is in the way is passed over.
    func leaseNames(_ pass: Pass) throws(StoreError) -> [EntryName] {
        var names: [EntryName] = []
        let shards = try pass.part { () throws(StoreError) in try leaseShards() }
        for shard in shards ?? [] {
            let found = try pass.part { () throws(StoreError) in
                try leaseNames(in: shard, pass)
            }
            names += found ?? []
        }
        return names
    }

    /// The shards that have a directory for leases: most stores have few, and trying all would be 256 calls.
    private func leaseShards() throws(StoreError) -> [Int] {
        let directory = "\(path)/" + String(decoding: Layout.leases.bytes, as: UTF8.self)
        var found: Set<[UInt8]> = []
        try attempt("list", directory) { () throws(Errno) in
            do throws(Errno) {
                let leases = try root.openDirectory(Layout.leases)
                try unsafe leases.forEachFile { bytes, _ in
                    unsafe found.insert(Array(bytes))
                    return true
                }
            } catch {
                if error != .noEntry { throw error }
            }
        }
        return (0..<Layout.shardCount).filter { found.contains(Array(Layout.shard($0).bytes)) }
    }

    private func leaseNames(in shard: Int, _ pass: Pass) throws(StoreError) -> [EntryName] {
        guard let directory = try leaseDirectory(shard, making: false) else { return [] }
        var names: [EntryName] = []
        var planted: [EntryName] = []
        try attempt("list", leaseDirectoryPath(shard)) { () throws(Errno) in
            try unsafe directory.forEachFile { bytes, mayBeRegular in
                if let name = unsafe EntryName(shard: shard, encoded: Array(bytes)) {
                    if mayBeRegular { names.append(name) } else { planted.append(name) }
                }
                return true
            }
        }
        for name in planted { pass.notice(.planted(leasePath(name))) }
        return names
    }

    func leasePath(_ name: EntryName) -> String {
        leaseDirectoryPath(name.shard) + "/" + String(decoding: name.encoded, as: UTF8.self)
    }

    func leaseDirectoryPath(_ shard: Int) -> String {
        "\(path)/" + String(decoding: Layout.leasePath(shard).bytes, as: UTF8.self)
    }
}
