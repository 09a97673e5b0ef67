internal import SystemCalls

// The highest generation of the leases whose records were removed.
//
// A shard's block has the highest generation ever given in the shard. Where the block is lost (zeroed, torn, never
// written in a copy), the records themselves tell; of those that were removed this file does, one a shard. It is
// written before the first of them is removed, under the shard's mutex, and read only where the block is lost.

extension StoreFiles {
    /// Notes that no generation of a shard's leases may be that low again.
    ///
    /// Killed half-way it is as before, or noted.
    func raiseLeaseFloor(
        to generation: Store.Generation, of shard: Int, in directory: Directory
    ) throws(StoreError) {
        try attempt("write", leaseFloorPath(shard)) { () throws(Errno) in
            guard try leaseFloor(in: directory) < generation else { return }
            // What a killed process left.
            try directory.unlink(Layout.newLeaseFloor)
            do throws(Errno) {
                let file = try marker.create(Layout.newLeaseFloor, in: directory)
                try file.write(LeaseFloor(generation).bytes)
                if isDurable { try file.sync() }
                try directory.rename(Layout.newLeaseFloor, to: Layout.leaseFloor)
            } catch {
                try directory.unlink(Layout.newLeaseFloor)
                throw error
            }
            if isDurable { try directory.sync() }
        }
    }

    /// The highest generation that any lease of a shard was granted, as its files tell; for who has lost the shard's
    /// block, and has its mutex.
    ///
    /// What cannot be read tells nothing, and keeps nobody from using the shard: granting that very lease reads it.
    func highestLeaseGeneration(of shard: Int) throws(StoreError) -> Store.Generation {
        try attempt("read", file(Layout.leasePath(shard), in: nil)) { () throws(Errno) in
            let directory: Directory
            do throws(Errno) {
                directory = try root.openDirectory(beneath: Layout.leasePath(shard))
            } catch {
                if error == .noEntry { return 0 }
                throw error
            }
            var highest = try leaseFloor(in: directory)
            var names: [FileName] = []
            try unsafe directory.forEachName { name in
                if unsafe PercentCode.decode(name) != nil { unsafe names.append(FileName(name)) }
                return true
            }
            for name in names {
                highest = max(highest, (try? Self.highestGeneration(of: name, in: directory)) ?? 0)
            }
            return highest
        }
    }

    private static func highestGeneration(
        of name: FileName, in directory: Directory
    ) throws(Errno) -> Store.Generation {
        let file = try directory.open(name, .read)
        let status = try file.status()
        guard status.isRegular else { return 0 }
        let bytes = try file.contents(upTo: min(status.size, LeaseCell.bytesPerSlot * Limits.slots))
        return unsafe bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: LeaseCell.byteCount).reduce(0) { highest, start in
                let end = min(bytes.count, start + LeaseCell.byteCount)
                let cell = unsafe LeaseCell(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                return max(highest, cell?.generation ?? 0)
            }
        }
    }

    private func leaseFloor(in directory: Directory) throws(Errno) -> Store.Generation {
        do throws(Errno) {
            let bytes = try directory.open(Layout.leaseFloor, .read)
                .contents(upTo: LeaseFloor.mostBytes)
            return unsafe bytes.withUnsafeBytes { unsafe LeaseFloor($0)?.generation } ?? 0
        } catch {
            if error == .noEntry { return 0 }
            throw error
        }
    }

    private func leaseFloorPath(_ shard: Int) -> String {
        file(Layout.leasePath(shard), in: nil) + "/"
            + String(decoding: Layout.leaseFloor.bytes, as: UTF8.self)
    }
}
