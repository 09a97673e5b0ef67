internal import SystemCalls

/// A record that failed its check, kept for inspection in `damaged/`.
package struct DamagedRecord: Sendable {
    let file: FileName
    /// Its key, or as much of it as the file's name has.
    package let key: Store.Key
    /// When it was set aside, in microseconds since 1970.
    let time: Int64

    /// How long ago that was; not below zero.
    package var age: Duration {
        .microseconds(max(0, clampedDifference(WallClock.microseconds, time)))
    }
}

extension OpenStore {
    /// All records that were set aside; other files in the directory are nobody's.
    func damagedRecords() throws(StoreError) -> [DamagedRecord] {
        guard let directory = try damagedIfThere() else { return [] }
        var records: [DamagedRecord] = []
        try attempt("list", file(Layout.damaged, in: nil)) { () throws(Errno) in
            try unsafe directory.forEachName { name in
                if let (key, time) = unsafe Layout.damagedKey(of: name) {
                    unsafe records.append(DamagedRecord(file: FileName(name), key: key, time: time))
                }
                return true
            }
        }
        return records
    }

    fileprivate func damagedIfThere() throws(StoreError) -> Directory? {
        try attempt("open", file(Layout.damaged, in: nil)) { () throws(Errno) in
            do throws(Errno) {
                return try root.openDirectory(Layout.damaged)
            } catch {
                if error == .noEntry { return nil }
                throw error
            }
        }
    }

    /// The path of a damaged record, for messages.
    fileprivate func damagedPath(_ name: FileName) -> String {
        file(Layout.damaged, in: nil) + "/" + String(decoding: name.bytes, as: UTF8.self)
    }
}

extension Session {
    /// What is kept for inspection, with the sizes of the files and the generations as far as they can be read.
    package func damagedRecords() throws(StoreError) -> [(
        record: DamagedRecord, size: Int, generation: Store.Generation
    )] {
        var found: [(record: DamagedRecord, size: Int, generation: Store.Generation)] = []
        guard let store = try existingNow(), let directory = try store.damagedIfThere() else {
            return found
        }
        for record in try store.damagedRecords() {
            let status = try attempt("read", store.damagedPath(record.file)) { () throws(Errno) in
                try directory.status(of: record.file)
            }
            // Removed meanwhile.
            guard let status else { continue }
            var generation: Store.Generation = 0
            // What cannot be read is damaged all the more.
            if status.isRegular,
                let text = try? directory.open(record.file, .read)
                    .contents(upTo: ClaimSection.mostBytes)
            {
                generation = unsafe text.withUnsafeBytes { unsafe ClaimHead($0)?.generation } ?? 0
            }
            found.append((record, status.size, generation))
        }
        return found
    }

    /// Removes what was set aside longer ago, or at a time that has not come yet.
    ///
    /// Without a mutex: the names are never used twice, and of two who remove one the first has done it.
    func removeDamaged(
        olderThan maxAge: Duration, from store: OpenStore, _ request: ReapRequest, _ pass: Pass
    ) throws(StoreError) {
        guard let directory = try store.damagedIfThere() else { return }
        for record in try store.damagedRecords()
        where ValueSection.isOld(record.time, than: maxAge) {
            let isRemoved = try pass.record { () throws(StoreError) in
                try attempt("reap", store.damagedPath(record.file)) { () throws(Errno) in
                    if request.dryRun { return true }
                    unsafe Store.beforeChange?()
                    return try directory.unlink(record.file)
                }
            }
            if isRemoved == true {
                request.report(Store.Reaped(key: record.key, reason: .tooOld))
            }
        }
    }
}
