internal import SystemCalls

/// What a key has for who is about to change its value.
enum ValueToUpdate {
    case ready(ReadyFile)
    /// Somebody is producing it.
    case pending(Holder)
}

extension Session {
    /// The value of a key; nil where it has none, and nobody whose claim stands is producing one.
    func value(toUpdate key: Store.Key) throws(StoreError) -> ValueToUpdate? {
        switch try get(key, maxAge: nil) {
        case .ready(let ready): return .ready(ready)
        case .absent, .damaged: return nil
        case .pending(let holder):
            // A stale claim, or one that a killed process has left half-written, does not count.
            guard let store = try existing(), try store.snapshot(of: EntryName(key)).isHeld else {
                return nil
            }
            return .pending(holder)
        }
    }
}
