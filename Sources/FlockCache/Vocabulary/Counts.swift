extension Store {
    /// How many entries there are.
    public struct Counts: Hashable, Sendable {
        /// Claims, torn and stale ones included.
        public let pending: Int
        /// Values.
        public let ready: Int
        /// The sizes of the READY records' files, heads included; the greatest number where the sum is beyond it.
        public let bytes: Int
        /// Damaged records that were set aside and are kept for inspection; they are no entries.
        public let damaged: Int
        /// False when a shard was being changed for longer than a tenth of a second; then its counts
        /// before that change stand in.
        ///
        /// Also where a part of the store could not be looked at, which ``Store/Configuration/onPassedOver``
        /// is told; and where the sizes are beyond the greatest number.
        public let isExact: Bool
    }
}

extension Store.Counts {
    init(damaged: Int = 0, isExact: Bool = true) {
        self.init(pending: 0, ready: 0, bytes: 0, damaged: damaged, isExact: isExact)
    }
}
