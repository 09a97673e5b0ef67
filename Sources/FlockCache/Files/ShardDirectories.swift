internal import SystemCalls

/// The directories of shards that are kept open; memory for them is taken when there is one.
///
/// Not an array of optionals, whose type would have to be built when a command starts.
@safe struct ShardDirectories {
    private var slots: UnsafeMutablePointer<Directory?>?

    subscript(shard: Int) -> Directory? {
        get { unsafe slots?[shard] }
        set {
            if unsafe slots == nil {
                let fresh = UnsafeMutablePointer<Directory?>.allocate(capacity: Layout.shardCount)
                unsafe fresh.initialize(repeating: nil, count: Layout.shardCount)
                unsafe slots = unsafe fresh
            }
            unsafe slots?[shard] = newValue
        }
    }

    /// Lets go of all, and says how many it were.
    mutating func forget() -> Int {
        guard let slots = unsafe slots else { return 0 }
        var count = 0
        for shard in 0..<Layout.shardCount where unsafe slots[shard] != nil {
            unsafe slots[shard] = nil
            count += 1
        }
        return count
    }

    /// Gives the memory back, after `forget`.
    mutating func deallocate() {
        unsafe slots?.deallocate()
        unsafe slots = nil
    }
}
