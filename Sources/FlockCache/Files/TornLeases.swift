internal import SystemCalls

extension StoreFiles {
    /// Blanks lease slots without a valid cell, so that they can be granted again.
    ///
    /// A slot's first cell is written while the other is empty, so a power cut can leave the slot without a
    /// valid cell. Like every lease of an earlier boot on a local file system, such a lease has ended. Its
    /// generation is lost with it; the next one is above the wall clock.
    ///
    /// Call it while holding the shard's mutex, for the first time since the machine started: no lease of the
    /// shard has been granted in this boot. A process killed half-way leaves the shard's block of the earlier
    /// boot, so the next one repeats the work. The same bytes found later in a boot are damage of another
    /// kind, and do not say who has the lease; acquiring it fails.
    ///
    /// A file that cannot be opened or written stays as it is; acquiring that lease fails with its name.
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
            try unsafe directory.forEachName { name in
                if unsafe PercentCode.decode(name) != nil { unsafe names.append(FileName(name)) }
                return true
            }
        }
        for name in names {
            // One file must not block the others or the shard; acquiring this lease reports it.
            try? Self.mendTornLease(name, in: directory)
        }
    }

    private static func mendTornLease(_ name: FileName, in directory: Directory) throws(Errno) {
        let file = try directory.open(name, .readWrite)
        let status = try file.status()
        guard status.isRegular else { return }
        let most = LeaseCell.bytesPerSlot * Limits.slots
        let bytes = try file.contents(upTo: min(status.size, most))
        for start in stride(from: 0, to: bytes.count, by: LeaseCell.bytesPerSlot) {
            let slot = bytes[start..<min(bytes.count, start + LeaseCell.bytesPerSlot)]
            guard slot.contains(where: { $0 != 0 }), !hasWholeCell(slot) else { continue }
            // Not beyond the end of the file, so it needs no new blocks.
            try file.write([UInt8](repeating: 0, count: slot.count), at: start)
        }
    }

    private static func hasWholeCell(_ slot: ArraySlice<UInt8>) -> Bool {
        unsafe slot.withUnsafeBytes { bytes in
            let middle = min(bytes.count, LeaseCell.byteCount)
            return unsafe LeaseCell(UnsafeRawBufferPointer(rebasing: bytes[..<middle])) != nil
                || LeaseCell(UnsafeRawBufferPointer(rebasing: bytes[middle...])) != nil
        }
    }
}
