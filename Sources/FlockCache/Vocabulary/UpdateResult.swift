extension Store {
    /// What setting a value comes to.
    public enum UpdateResult: Sendable {
        /// The value is set: the entry as it is now.
        case updated(Entry)
        /// Nothing was changed: what stood against it, nil where the key is absent.
        case unchanged(Entry?)
        /// Somebody else is producing the value; nothing was changed.
        case pending(Holder)
    }
}

/// The short name inside this package.
package typealias UpdateResult = Store.UpdateResult

extension Store {
    /// What has to hold for a `put` to change anything.
    public enum Precondition: Hashable, Sendable {
        /// Nothing.
        case none
        /// The key has no value. A claim whose holder is dead is none either.
        case absent
        /// The key has the value of that generation.
        case generation(Generation)
    }

    /// What an increment comes to.
    public enum IncrementResult: Hashable, Sendable {
        /// The new number.
        case incremented(Int64)
        /// The number as it is: the sum would leave the range, or 64 bits. Nothing was changed.
        case outOfRange(Int64)
        /// Somebody else is producing the value; nothing was changed.
        case pending(Holder)
    }
}

extension Store.Precondition {
    /// Whether it holds for a key with the value of that generation; nil for one without.
    func holds(for generation: Store.Generation?) -> Bool {
        switch self {
        case .none: true
        case .absent: generation == nil
        case .generation(let wanted): generation == wanted
        }
    }
}
