internal import SystemCalls

extension Session {
    /// What a pass of reaping does for the journal of changes, in a store that has one: it tells of what killed
    /// processes have changed, and trims.
    ///
    /// - Parameter maxAge: changes that are older go, too.
    func tendChanges(maxAge: Duration?, _ pass: Pass) throws(StoreError) {
        guard let store = try existingNow(), let changes = store.changes,
            try store.shards.fileForReading()?.isWritable == true
        else { return }
        changes.recoverMarkedShards()
        _ = try pass.part { () throws(StoreError) in
            try changes.trim(to: ChangeLimits(age: maxAge))
        }
    }
}
