internal import SystemCalls

/// The two ways of publishing: append to the claim's file and rename it, 15 µs on ext4 where replacing
/// an existing file takes 53 µs; or, for large values, a file of its own.
struct FinalizeChange {
    let store: OpenStore
    let name: EntryName
    var key: Store.Key { name.key }
    let right: ClaimRight

    // MARK: Small values

    /// Publishes a value that is appended to the claim's own file.
    ///
    /// nil where that file has another name: in a copy of the store by hard links, whose value the next to
    /// finalize there would cut off again.
    func append(_ value: UnsafeRawBufferPointer) throws(StoreError) -> Finalized? {
        let kept = right.generation.flatMap { store.keptClaims.take(name, $0) }
        var held = try HeldShard(store, name.shard)
        let directory = try held.directory()
        let (mine, status, isBesideReady): (PendingClaim, FileStatus, Bool)
        switch try state(kept, &held, in: directory) {
        case .done(let generation):
            let comparison = try comparison(in: directory)
            try unsafe compare(value, with: comparison)
            return Finalized(generation: generation, differs: comparison?.differs ?? false)
        case .mine(let claim, let found, let beside):
            (mine, status, isBesideReady) = (claim, found, beside)
        }
        let former = try isBesideReady ? formerSize(in: directory) : nil
        guard status.links <= 1 else { return nil }
        try held.begin(.publish(.finalized, name, mine.generation))
        try attempt("finalize \(key)", store.path) { () throws(Errno) in
            try unsafe publish(value, by: mine, of: status.size, over: former, &held, in: directory)
        }
        held.block.counts.pending -= 1
        held.block.counts.ready += former == nil ? 1 : 0
        held.commit(ending: name)
        try store.syncAfter("finalize", key, in: directory)
        return Finalized(generation: mine.generation)
    }

    /// Appends a value to the claim's own file and gives that the name of the value.
    ///
    /// - Parameters:
    ///   - size: of the claim's file: an earlier attempt may have been killed half-way.
    ///   - former: the size of the value that is replaced.
    private func publish(
        _ value: UnsafeRawBufferPointer, by mine: PendingClaim, of size: Int, over former: Int?,
        _ held: inout HeldShard, in directory: Directory
    ) throws(Errno) {
        if size != mine.text.count { try mine.file.truncate(to: mine.text.count) }
        do throws(Errno) {
            let section = unsafe mine.valueSection(value)
            try mine.file.write(section, at: mine.text.count)
            if store.isDurable { try mine.file.sync() }
            try directory.rename(name.pending, to: name.ready)
            held.block.counts.subtract(bytes: former ?? 0)
            held.block.counts.add(bytes: mine.text.count + section.count)
        } catch {
            // A network file system may report a rename that happened as failed; then the file is a
            // value by now, and must not be cut. The mark stays.
            if try directory.status(of: name.pending) != nil {
                try mine.file.truncate(to: mine.text.count)
                held.takeBack()
            }
            throw error
        }
    }

    // MARK: Large values

    /// What a large value begins with.
    enum Beginning {
        /// The file that it is written to.
        case record(LargeRecord)
        /// The key is READY from the same claim already; with its value, unless that has gone since.
        case done(ValueComparison?)
    }

    /// Makes the file that a large value is written to, unless the key is READY already.
    func begin() throws(StoreError) -> Beginning {
        let temporary = try store.temporaryName()
        var held = try HeldShard(store, name.shard)
        let directory = try held.directory()
        guard case .mine(let mine, _, _) = try state(in: directory) else {
            return .done(try comparison(in: directory))
        }
        try held.begin(Intent())
        let file = try attempt("write the value of \(key)", store.path) { () throws(Errno) in
            try store.marker.create(temporary, in: directory)
        }
        held.block.counts.temporaries += 1
        held.commit()
        unsafe Store.betweenChanges?()
        return .record(
            LargeRecord(
                store: store, key: key, name: temporary, file: file, claim: mine.text,
                generation: mine.generation))
    }

    /// Puts the written file in the place of the claim; returns what is to be compared with it, if another
    /// process has published a value by the same claim meanwhile.
    func replace(
        by record: LargeRecord
    ) throws(StoreError) -> (generation: Store.Generation, other: ValueComparison?) {
        _ = store.keptClaims.take(name, record.generation)
        var held = try HeldShard(store, name.shard)
        let directory = try held.directory()
        let isBesideReady: Bool
        switch try state(in: directory) {
        case .done(let generation):
            let other = try comparison(in: directory)
            try store.discard(record.name, &held, in: directory)
            return (generation, other)
        case .mine(let mine, _, let beside):
            isBesideReady = beside
            guard mine.generation == record.generation else {
                throw .claimLost("finalize", key, holder: nil)
            }
        }
        let former = try isBesideReady ? formerSize(in: directory) : nil
        try held.begin(.publish(.finalized, name, record.generation))
        try attempt("finalize \(key)", store.path) { () throws(Errno) in
            do throws(Errno) {
                try directory.rename(record.name, to: name.ready)
            } catch {
                held.takeBack()
                throw error
            }
        }
        // The key is READY. A claim that cannot be removed from beside it is what a killed finalize
        // leaves as well: the mark stays, and the next counts anew.
        if (try? directory.unlink(name.pending)) != nil {
            held.block.counts.temporaries -= 1
            held.block.counts.pending -= 1
            held.block.counts.ready += former == nil ? 1 : 0
            held.block.counts.subtract(bytes: former ?? 0)
            held.block.counts.add(bytes: record.size)
            held.commit(ending: name)
        }
        try store.syncAfter("finalize", key, in: directory)
        return (record.generation, nil)
    }

    // MARK: What is there

    private enum State {
        /// Also what `stat` says of its file, and whether there is a READY record, or something in its place.
        case mine(PendingClaim, FileStatus, besideReady: Bool)
        /// READY from the claim of that generation.
        case done(Store.Generation)
    }

    private func state(
        _ kept: KeptClaims.Kept?, _ held: inout HeldShard, in directory: Directory
    ) throws(StoreError) -> State {
        if let kept, let known = try current(kept, &held) { return known }
        return try state(in: directory)
    }

    /// A claim whose file is open since it was made; nil where the names have to be looked at.
    ///
    /// While the block is the same the claim has not ended, and no value came (see `HeldShard`); and while the file
    /// has a name it is not replaced, as `renew` does. So that name is `NAME.pending`.
    private func current(
        _ kept: KeptClaims.Kept, _ held: inout HeldShard
    ) throws(StoreError) -> State? {
        guard held.isUnchanged(since: kept.block) else { return nil }
        let status = try attempt("finalize \(key)", store.path) { () throws(Errno) in
            try kept.claim.file.status()
        }
        return status.links == 1 ? .mine(kept.claim, status, besideReady: false) : nil
    }

    /// Throws `.claimLost` unless the claim is there or was finalized, by the same right.
    private func state(in directory: Directory) throws(StoreError) -> State {
        let found = try readyClaim(in: directory)
        let ready = found ?? nil
        let pending = try store.files.withRecord(name.pending, of: name, in: directory, .readWrite)
        {
            (file) throws(Errno) -> (ClaimSection, PendingClaim, FileStatus)? in
            guard let (claim, text) = try ClaimSection.readText(file) else { return nil }
            let status = try file.status()
            return (
                claim, PendingClaim(file: file, text: text, generation: claim.generation), status
            )
        }
        if case (let claim, let mine, let status)?? = pending,
            claim.stands(beside: ready?.generation)
        {
            if right.covers(claim, at: try store.place()) {
                return .mine(mine, status, besideReady: found != nil)
            }
            let standing = try store.standing(of: claim)
            throw .claimLost(
                "finalize", key, asked: right.generation,
                now: .claimed(claim.generation, store.holder(of: claim, standing: standing)))
        }
        guard let ready, right.covers(ready, at: try store.place()) else {
            throw .claimLost(
                "finalize", key, asked: right.generation,
                now: ready.map { .ready($0.generation) } ?? .absent)
        }
        return .done(ready.generation)
    }

    /// The generation of what is READY by the same right.
    func inPlace() throws(StoreError) -> Store.Generation {
        let held = try HeldShard(store, name.shard)
        guard case .done(let generation) = try state(in: try held.directory()) else {
            throw .claimLost("finalize", key, holder: nil)
        }
        return generation
    }

    /// What a value that comes is compared with; nil where there is none.
    private func comparison(in directory: Directory) throws(StoreError) -> ValueComparison? {
        try store.files.withRecord(name.ready, of: name, in: directory) { (file) throws(Errno) in
            try ValueComparison(file, of: name)
        }
    }

    /// Compares a piece of a value with the one that is there.
    func compare(
        _ bytes: UnsafeRawBufferPointer, with comparison: ValueComparison?
    ) throws(StoreError) {
        try attempt("read", store.file(name.ready, in: name.shard)) { () throws(Errno) in
            try unsafe comparison?.take(bytes)
        }
    }

    /// nil where there is no READY record, and a nil in that where it has no whole claim section.
    ///
    /// That of a number which is counted has the generation of the last time: no claim before that is current.
    private func readyClaim(in directory: Directory) throws(StoreError) -> ClaimSection?? {
        try store.files.withRecord(name.ready, of: name, in: directory) { (file) throws(Errno) in
            guard var claim = try ClaimSection.read(file) else { return nil }
            if let counter = try CounterRecord.read(file, of: name) {
                claim.generation = counter.cell.generation
            }
            return claim
        }
    }

    /// nil where there is none, or something that was not counted.
    private func formerSize(in directory: Directory) throws(StoreError) -> Int? {
        try attempt("read", store.file(name.ready, in: name.shard)) { () throws(Errno) in
            try directory.status(of: name.ready).flatMap { $0.isRegular ? $0.size : nil }
        }
    }
}
