extension Store {
    /// How a store behaves; the defaults are those of the command.
    public struct Configuration: Sendable {
        /// What `.standard` means where a call may wait.
        public var wait: Wait
        /// What an acknowledged change survives.
        ///
        /// A store that was made durable is so for everybody.
        public var durability: Durability
        /// Called once when a wait begins, with the key and who has it.
        ///
        /// On the thread or task that waits; a wait that would end at once is none.
        public var onWait: (@Sendable (Key, Holder?) -> Void)?
        /// Called when a damaged record was found: its key, and the path at which it is kept for
        /// inspection, nil where the store could not be written.
        ///
        /// The key counts as absent; of a lease with slots, the damaged slot as taken for one time to live.
        public var onDamage: (@Sendable (Key, String?) -> Void)?
        /// Called for each thing that went wrong in what goes through the whole store (`reap(_:dryRun:)`,
        /// ``Store/entries(_:prefix:)``, ``Store/counts()``) and that it goes on past: a record or directory that
        /// cannot be read or removed, and something else in the place of a record, which is no failure.
        public var onPassedOver: (@Sendable (StoreError) -> Void)?
        /// Called in place of `onPassedOver` for what is no failure, where it is set.
        package var onPlanted: (@Sendable (StoreError) -> Void)?
        /// Called when a change has happened that the journal of changes could not tell of yet, because its
        /// device or another process kept it from being written.
        ///
        /// The next process that uses the same part of the store tells of it first.
        package var onUntold: (@Sendable (StoreError) -> Void)?
        /// Whether a store that is made by this keeps a journal of its changes, as `init --journal` makes it.
        ///
        /// For ``Store/changes(prefix:from:)``. A store that is there already keeps the settings it has.
        public var journalsChanges: Bool
        /// File systems that cannot be known to keep the promises, accepted at the caller's own risk:
        /// names as in the error's text, such as `9p` and `fuse`.
        public var allowedFileSystems: [String]

        static let standardWait = Duration.seconds(300)

        /// What an acknowledged change survives.
        public enum Durability: Sendable {
            /// The death of any process at any instruction.
            case processCrash
            /// Also the loss of power: everything is synchronised before it is acknowledged.
            case powerLoss
        }

        /// Creates a configuration; each setting that is not named has its default.
        ///
        ///     let store = try Store(at: path, configuration: .init(wait: .seconds(5), durability: .powerLoss))
        ///
        /// - Parameters:
        ///   - wait: what `.standard` means; `.standard` itself is 300 s.
        ///   - durability: what an acknowledged change survives.
        ///   - journalsChanges: whether a store that is made by this keeps a journal of its changes.
        ///   - allowedFileSystems: file systems that are accepted at the caller's own risk.
        ///   - onWait: called once when a wait begins.
        ///   - onDamage: called when a corrupt record was quarantined.
        ///   - onPassedOver: called for each failure that a pass over the whole store goes past.
        public init(
            wait: Wait = .standard, durability: Durability = .processCrash,
            journalsChanges: Bool = false, allowedFileSystems: [String] = [],
            onWait: (@Sendable (Key, Holder?) -> Void)? = nil,
            onDamage: (@Sendable (Key, String?) -> Void)? = nil,
            onPassedOver: (@Sendable (StoreError) -> Void)? = nil
        ) {
            self.wait = wait == .standard ? .upTo(Self.standardWait) : wait
            self.durability = durability
            self.journalsChanges = journalsChanges
            self.allowedFileSystems = allowedFileSystems
            self.onWait = onWait
            self.onDamage = onDamage
            self.onPassedOver = onPassedOver
        }
    }

    /// How long a call may wait.
    ///
    /// Whatever the value, a key, lock or lease that is free is taken at once.
    public enum Wait: Hashable, Sendable {
        /// As long as ``Configuration/wait`` says.
        case standard
        /// That long at most.
        case upTo(Duration)
        /// Without end.
        ///
        /// A blocking call that is made inside a task, through a synchronous function, waits 300 s all the same: it
        /// occupies one of the few threads that all tasks share.
        case forever

        /// That many seconds at most.
        public static func seconds(_ seconds: some BinaryInteger) -> Wait {
            .upTo(.seconds(seconds))
        }

        /// That many seconds at most; fractions count.
        public static func seconds(_ seconds: Double) -> Wait { .upTo(.seconds(seconds)) }

        /// That many milliseconds at most.
        public static func milliseconds(_ milliseconds: some BinaryInteger) -> Wait {
            .upTo(.milliseconds(milliseconds))
        }
    }
}
