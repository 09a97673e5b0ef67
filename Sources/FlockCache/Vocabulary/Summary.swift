extension Store {
    /// What a listing passes on.
    public enum Filter: Sendable {
        /// Everything.
        case all
        /// Claims only.
        case pending
        /// Values only.
        case ready
    }

    /// One line of a listing.
    public struct Summary: Sendable {
        /// What is known of the key.
        public enum State: Sendable {
            /// Claimed, by whom.
            case pending(Holder)
            /// Published, with a value of that many bytes.
            case ready(size: Int)
        }

        /// The key.
        public let key: Key
        /// Whether it is claimed or published.
        ///
        /// A key being computed anew is listed as both, in a row.
        public let state: State
        /// The generation of the claim; 0 for one that a killed process left half-written.
        public let generation: Generation
        /// How long ago it was claimed, or published.
        public let age: Duration
    }
}
