internal import SystemCalls

extension Session {
    /// Reaps a store, and in one that tells of its changes ends leases that are over and trims the journal.
    ///
    /// - Throws: at the end, the first failure that was passed over.
    package func reapAll(_ request: ReapRequest) throws(StoreError) {
        var failure: StoreError?
        do throws(StoreError) {
            try reap(request)
        } catch {
            failure = error
        }
        if !request.dryRun { try tendChanges(maxAge: request.limits.maxAge, after: failure) }
        if let failure { throw failure }
    }

    private func tendChanges(
        maxAge: Duration?, after failure: StoreError?
    ) throws(StoreError) {
        guard let store = try existingNow(), let changes = store.changes,
            try store.shards.fileForReading()?.isWritable == true
        else { return }
        changes.recoverMarkedShards()
        let pass = newPass()
        for name in try store.leaseNames(pass) {
            _ = try pass.record { () throws(StoreError) in
                try expireLease(name, patience: Limits.patience)
            }
        }
        _ = try pass.part { () throws(StoreError) in
            try changes.trim(to: ChangeLimits(age: maxAge))
        }
        // The first failure of all is what the pass ends with.
        if failure == nil { try pass.finish() }
    }
}
