internal import SystemCalls

// Where the files of leases are: opened, made, listed.

extension OpenStore {
    /// A lease's file; nil when there is none and none is to be made.
    ///
    /// What is made is empty, which says that nobody ever had the lease: whoever is killed behind that has
    /// left nothing to clean up.
    ///
    /// - Parameter writing: for who only looks, false: then it need not be permitted.
    func leaseFile(
        _ name: EntryName, making: Bool, writing: Bool = true
    ) throws(StoreError) -> LeaseFile? {
        // Who only looks may be without a /proc, and finds nothing taken.
        let boot = writing ? try place().boot : try placeIfKnown()?.boot ?? .none
        let isChanging = writing && !isReadOnly
        // A network file system looks a name up anew only below a directory that was opened since: `StoreFiles.refresh`.
        if !isLocal, try leaseDirectory(name.shard, making: making) == nil { return nil }
        if isChanging, let kept = try keptLease(name, boot) { return kept }
        let below = Layout.leasePath(name.shard, name.ready)
        while true {
            do throws(Errno) {
                // By one call: who renews many leases each second does little else.
                let file = try root.open(beneath: below, isChanging ? .readWrite : .read)
                let status = try file.status()
                guard status.isRegular else { throw Errno.notADirectory }
                let record = LeaseRecord(file, of: name, knowing: below, status)
                // Other machines' changes are seen by who opens a file; and where synchronising fails the kernel tells
                // it once for each.
                if isChanging, isLocal, !isDurable { lease.keep(record) }
                return leaseFile(record, status, boot)
            } catch {
                guard error == .noEntry else {
                    throw StoreError(error, "open", path: files.file(below, in: nil))
                }
            }
            guard making, let directory = try leaseDirectory(name.shard, making: true) else {
                return nil
            }
            try attempt("make", files.file(below, in: nil)) { () throws(Errno) in
                // Of one that somebody has removed.
                try directory.unlink(Layout.takenTimes(of: name))
                try marker.makeFile(name.ready, in: directory, of: root)
                if isDurable { try directory.sync() }
            }
        }
    }

    /// The file of the lease that was changed last, if it is that of a key and still has its name.
    private func keptLease(_ name: EntryName, _ boot: BootID) throws(StoreError) -> LeaseFile? {
        guard let kept = lease.file(of: name) else { return nil }
        let status = try attempt("read", files.file(kept.known, in: nil)) { () throws(Errno) in
            try root.status(of: kept.known)
        }
        guard let status, kept.isFile(status) else { return nil }
        return leaseFile(kept, status, boot)
    }

    private func leaseFile(
        _ record: LeaseRecord, _ status: FileStatus, _ boot: BootID
    ) -> LeaseFile {
        LeaseFile(
            record, status, in: files, boot: boot, taken: taken(record.name, status, boot))
    }

    /// What is known of a lease's slots; nil where there are few, and on a network file system, where the clocks are
    /// several.
    private func taken(_ name: EntryName, _ status: FileStatus, _ boot: BootID) -> TakenSlots? {
        guard isLocal, LeaseFile.count(status) > TakenSlots.fewest else { return nil }
        return TakenSlots(
            Layout.takenTimes(of: name), of: name.shard, in: files, inode: status.inode, boot)
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
}
