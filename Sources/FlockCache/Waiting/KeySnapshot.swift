/// How a key is, as far as its waiters care.
struct KeySnapshot: Equatable {
    /// Of the claim; 0 where there is no complete one.
    var generation: Store.Generation = 0
    /// Of the READY record; 0 where there is none.
    var ready: UInt64 = 0
    /// Whether the key cannot be had now.
    var isHeld = false
}
