internal import SystemCalls

// One shard after the other, each under its mutex for as long as reading its names takes.

extension Doctor {
    /// How long a mutex is waited for: a change takes microseconds.
    private static let patience = Duration.milliseconds(500)
    /// How many shards behind a stopped process are waited for.
    private static let mostStuck = 4

    func survey() throws(StoreError) -> Survey {
        var survey = Survey()
        guard try store.shards.fileForReading() != nil else { return survey }
        let boot = try store.placeIfKnown()?.boot
        for shard in 0..<Layout.shardCount {
            progress(shard, Layout.shardCount)
            guard survey.stuck.count < Self.mostStuck else { break }
            do throws(StoreError) {
                try look(at: shard, boot, &survey)
            } catch {
                guard error.code == .timedOut else { throw error }
                survey.stuck.append(error)
            }
        }
        if repairs && !store.isReadOnly { try repair(survey) }
        return survey
    }

    private func look(
        at shard: Int, _ boot: BootID?, _ survey: inout Survey
    ) throws(StoreError) {
        let names = try counts(of: shard, boot, &survey)
        guard let directory = try store.files.shardDirectoryNow(shard) else { return }
        survey.planted += names.planted.map { store.file($0, in: shard) }
        let locks = try store.locksDirectory()
        for temporary in names.temporaries {
            let session = Layout.temporarySession(of: temporary.bytes) ?? 0
            let isAlive = try attempt("look at", store.file(temporary, in: shard)) {
                () throws(Errno) in try SessionLock.isAlive(session, in: locks)
            }
            if !isAlive { survey.debris += 1 }
        }
        for (encoded, files) in names.entries {
            guard let name = EntryName(shard: shard, encoded: encoded) else { continue }
            if files.hasReady { try look(at: name, in: directory, &survey) }
            if files.hasPending { try lookAtClaim(name, in: directory, &survey) }
        }
    }

    /// Compares a shard's counts with its files; returns their names.
    private func counts(
        of shard: Int, _ boot: BootID?, _ survey: inout Survey
    ) throws(StoreError) -> ShardNames {
        let mutex = try ShardMutex(store, shard, patience: Self.patience)
        guard let directory = try store.files.shardDirectoryNow(shard) else {
            return ShardNames(.all)
        }
        let block = try mutex.file.read(shard)
        if let block, block.changer != 0 {
            survey.unfinished.append(shard)
        } else if let block, block.boot == boot, block.mark != .unknown,
            block.mark == mutex.shards.directoryMark(of: shard)
        {
            // Others are counted anew by who needs them.
            let count = try store.files.count(shard, removingDebris: false)
            if count.failure == nil, count.counts != block.counts {
                survey.wrongCounts.append(shard)
            }
        }
        return try store.files.names(in: directory, of: shard)
    }

    /// Reads a value as who asks for it does, from end to end.
    private func look(
        at name: EntryName, in directory: Directory, _ survey: inout Survey
    ) throws(StoreError) {
        guard try isCorrupt(name, in: directory, &survey) else { return }
        // It may have been replaced, or counted in place, while it was read.
        let mutex = try ShardMutex(store, name.shard, patience: Self.patience)
        _ = mutex.shard
        guard try isCorrupt(name, in: directory, &survey) else { return }
        survey.corrupt.append(name.key)
    }

    private func isCorrupt(
        _ name: EntryName, in directory: Directory, _ survey: inout Survey
    ) throws(StoreError) -> Bool {
        let reading = try store.files.withRecord(name.ready, of: name, in: directory) {
            (file) throws(Errno) in try ReadyFile.read(file, name)
        }
        switch reading {
        case .damaged: return true
        case .ready:
            survey.records += 1
            return false
        case nil: return false
        }
    }

    private func lookAtClaim(
        _ name: EntryName, in directory: Directory, _ survey: inout Survey
    ) throws(StoreError) {
        switch try store.files.readPending(name, in: directory) {
        case .none: break
        case .torn: survey.debris += 1
        case .whole(let claim):
            let ready = try store.files.readyGeneration(name, in: directory)
            if !claim.stands(beside: ready) {
                survey.debris += 1
            } else if case .stale = try store.standing(of: claim) {
                survey.stale += 1
            }
        }
    }

    // MARK: Repairing

    private func repair(_ survey: Survey) throws(StoreError) {
        for key in survey.corrupt { _ = try session.get(key, maxAge: nil) }
        for shard in survey.wrongCounts {
            try forgetCounts(of: shard)
            _ = try HeldShard(store, shard, verifying: true)
        }
        for shard in survey.unfinished { _ = try HeldShard(store, shard, verifying: true) }
        try sweep()
    }

    private func forgetCounts(of shard: Int) throws(StoreError) {
        let mutex = try ShardMutex(store, shard, patience: Limits.patience)
        guard var block = try mutex.file.read(shard) else { return }
        block.mark = .unknown
        try mutex.write(block)
    }
}
