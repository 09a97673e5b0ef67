internal import SystemCalls

/// A directory in which processes agree on who does a piece of work, and share the result.
///
/// Any number of processes may use one store at once, with no server. Of all that claim a key, one
/// wins; the others learn the value, or who is working on it; and when the winner dies, the next to
/// ask takes over without anybody cleaning up.
///
/// A change that was acknowledged survives the death of any process at any instruction; after a power
/// cut some of the last seconds may be missing unless ``Configuration/durability`` is `.powerLoss`;
/// nothing torn is ever returned. Locks and claims hold between processes of one machine, and of
/// several where the file system's locks do.
///
/// A value of this type may be used by any number of threads, and after a fork by the child; a guard
/// the child inherited, such as a ``Claim``, does nothing there.
public struct Store: Sendable {
    package let session: Session

    /// Opens the store at a path.
    ///
    /// The directory is created by the first write, not by opening it.
    ///
    /// A relative path is of the working directory at this call. Symbolic links on the way to the
    /// store are followed, inside it never. A `~` has no meaning in it. Root makes no store in another user's
    /// home directory.
    ///
    /// - Throws: `.notAStore` when the path is something else, `.incompatibleFormat`,
    ///   `.unsupportedFileSystem`, `.permissionDenied` also for a store that another user shares with a group
    ///   of which this process is no member, and what else the system refuses. A store that
    ///   is not there is not an error.
    public init(at path: String, configuration: Configuration = Configuration()) throws(StoreError)
    {
        try self.init(path: Array(path.utf8), configuration: configuration)
    }

    /// The same with a path that need not be UTF-8.
    package init(path: [UInt8], configuration: Configuration) throws(StoreError) {
        session = try Session(path: path, configuration: configuration)
    }

    /// How a store behaves; the defaults are those of the command.
    public struct Configuration: Sendable {
        /// What `.standard` means where a call may wait.
        public var wait: Wait = .upTo(Self.standardWait)
        /// What an acknowledged change survives.
        ///
        /// A store that was made durable is so for everybody.
        public var durability: Durability = .processCrash
        /// Called once when a wait begins, with the key and who has it.
        ///
        /// On the thread or task that waits; a wait that would end at once is none.
        public var onWait: (@Sendable (Key, Holder?) -> Void)?
        /// Called when a damaged record was found: its key, and the path at which it is kept for
        /// inspection, nil where the store could not be written.
        ///
        /// The key counts as absent.
        public var onDamage: (@Sendable (Key, String?) -> Void)?
        /// Called for each thing that went wrong in what goes through the whole store (``Store/reap(_:dryRun:)``,
        /// ``Store/entries(_:prefix:)``, ``Store/counts()``) and that it goes on past: a record or directory that
        /// cannot be read or removed, and something else in the place of a record, which is no failure.
        public var onPassedOver: (@Sendable (StoreError) -> Void)?
        /// Called in place of `onPassedOver` for what is no failure, where it is set.
        package var onPlanted: (@Sendable (StoreError) -> Void)?
        /// File systems that cannot be known to keep the promises, accepted at the caller's own risk:
        /// names as in the error's text, such as `9p` and `fuse`.
        public var allowedFileSystems: [String] = []

        static let standardWait = Duration.seconds(300)

        /// What an acknowledged change survives.
        public enum Durability: Sendable {
            /// The death of any process at any instruction.
            case processCrash
            /// Also the loss of power: everything is synchronised before it is acknowledged.
            case powerLoss
        }

        /// The defaults.
        public init() {}
    }

    /// How long a call may wait.
    ///
    /// Whatever the value, what is free is taken at once.
    public enum Wait: Hashable, Sendable {
        /// As long as ``Configuration/wait`` says.
        case standard
        /// That long at most.
        case upTo(Duration)
        /// Without end.
        case forever
    }

    /// A number that only rises for a key: each claim, update or lease grant gets a higher one.
    ///
    /// Pass it to a resource as its fencing token. Below 2^53, based on microseconds since 1970.
    public typealias Generation = UInt64

    /// Runs after a shard mutex was taken and before anything is changed.
    ///
    /// The command blocks signals here, so that a change it made is always reported.
    package nonisolated(unsafe) static var beforeChange: (@Sendable () -> Void)?

    /// Runs when nothing has to be reported (yet) although a change was begun: where a rival's claim
    /// was found after all, and before a large value is read, which may take as long as its writer
    /// likes.
    ///
    /// The command lets signals through again.
    package nonisolated(unsafe) static var betweenChanges: (@Sendable () -> Void)?
}
