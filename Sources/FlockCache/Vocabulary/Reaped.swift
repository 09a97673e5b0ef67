extension Store {
    /// What reaping may remove beyond what is stale.
    public struct ReapLimits: Sendable {
        /// Claims of which it is not known whether their holder lives, when older than this; and leases that only
        /// their owner's end ends, where it is not known whether that lives.
        public var assumeDeadAfter: Duration?
        /// Values published longer ago than this, and damaged records that were set aside longer ago.
        ///
        /// Also those of a time that has not come yet: how old they are nobody knows.
        public var maxAge: Duration?
        /// The least recently used values beyond this number.
        public var maxEntries: Int?
        /// The least recently used values beyond this sum of their files' sizes; before them, values that are
        /// beyond it by themselves.
        public var maxBytes: Int?

        /// Creates limits; without any, only what is stale is removed.
        ///
        /// - Parameters:
        ///   - assumeDeadAfter: claims and leases whose holders cannot be judged, when older than this.
        ///   - maxAge: values published longer ago than this.
        ///   - maxEntries: the least recently used values beyond this number.
        ///   - maxBytes: the least recently used values beyond this sum of their files' sizes.
        public init(
            assumeDeadAfter: Duration? = nil, maxAge: Duration? = nil, maxEntries: Int? = nil,
            maxBytes: Int? = nil
        ) {
            self.assumeDeadAfter = assumeDeadAfter
            self.maxAge = maxAge
            self.maxEntries = maxEntries
            self.maxBytes = maxBytes
        }
    }

    /// An entry that was removed, or in a dry run would be.
    public struct Reaped: Sendable {
        /// Why an entry was removed.
        @nonexhaustive public enum Reason: Hashable, Sendable {
            /// The process that had the claim has ended.
            case deadProcess
            /// The session that had the claim has ended.
            case deadSession
            /// The claim is from before the machine started.
            case rebooted
            /// The claim's own time is over.
            case expired
            /// Nobody knows whether the holder of the claim or lease lives, and it is older than ``ReapLimits/assumeDeadAfter``.
            case assumedDead
            /// The claim was left half-written by a killed process.
            case torn
            /// The value was older than asked for, or so was a damaged record kept for inspection.
            case tooOld
            /// The value was among the least recently used beyond the number or size asked for.
            case evicted
        }

        /// The key.
        public let key: Key
        /// Why.
        public let reason: Reason
    }
}
