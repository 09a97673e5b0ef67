internal import SystemCalls

extension OpenStore {
    /// Blanks the slots of leases that a power cut has torn, so that they can be granted again.
    ///
    /// A lease's first cell is written where there is no other, so that a cut can leave a slot without a
    /// whole one. Such a slot is nobody's, as every lease of an earlier boot is on a file system of this
    /// machine alone; its generation is lost with it, and the next is above the clock's. Found later in the
    /// same boot such a slot is damage by other means, and no answer to who has the lease.
    ///
    /// For who has the shard's mutex and is the first to have it since the machine started: nobody can have
    /// been granted a lease of it in this boot. Killed half-way it is done again, because the shard's block
    /// is not written yet. A file that cannot be opened or written stays as it is, and whoever asks for that
    /// lease is told.
    func mendTornLeases(_ shard: Int) throws(StoreError) {
        let directory: Directory
        do throws(Errno) {
            directory = try root.openDirectory(beneath: Layout.leasePath(shard))
        } catch {
            if error == .noEntry { return }
            throw StoreError(error, "open", path: file(Layout.leasePath(shard), in: nil))
        }
        var names: [FileName] = []
        try attempt("list", file(Layout.leasePath(shard), in: nil)) { () throws(Errno) in
            try directory.forEachName { name in
                if EntryName.decode(name) != nil { names.append(FileName(name)) }
                return true
            }
        }
        for name in names {
            // Said above: one file stops neither the others nor the shard.
            try? Self.mendTornLease(name, in: directory)
        }
    }

    private static func mendTornLease(_ name: FileName, in directory: Directory) throws(Errno) {
        let file = try directory.open(name, .readWrite)
        let status = try file.status()
        guard status.isRegular else { return }
        let most = LeaseCell.bytesPerSlot * LockName.mostSlots
        let bytes = try file.contents(upTo: min(status.size, most))
        for start in stride(from: 0, to: bytes.count, by: LeaseCell.bytesPerSlot) {
            let slot = bytes[start..<min(bytes.count, start + LeaseCell.bytesPerSlot)]
            guard slot.contains(where: { $0 != 0 }), !hasWholeCell(slot) else { continue }
            // No longer than the file is: it needs no new blocks.
            try file.write([UInt8](repeating: 0, count: slot.count), at: start)
        }
    }

    private static func hasWholeCell(_ slot: ArraySlice<UInt8>) -> Bool {
        slot.withUnsafeBytes { bytes in
            let middle = min(bytes.count, LeaseCell.byteCount)
            return LeaseCell(UnsafeRawBufferPointer(rebasing: bytes[..<middle])) != nil
                || LeaseCell(UnsafeRawBufferPointer(rebasing: bytes[middle...])) != nil
        }
    }
}
