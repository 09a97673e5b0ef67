extension Store {
    /// A READY key and its value.
    public struct Entry: Sendable {
        /// The key.
        public let key: Store.Key
        /// What was published.
        public let value: Value
        /// The generation of the claim that published it.
        public let generation: Store.Generation
        /// How long ago it was published, by the wall clock; not below zero.
        public let age: Duration
    }
}

/// The short name inside this package.
package typealias Entry = Store.Entry
