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
/// the child inherited, such as a ``Store/Claim``, does nothing there.
public struct Store: Sendable {
    package let session: Session

    /// Opens the store at a path.
    ///
    /// The directory is created by the first write, not by opening it.
    ///
    /// A relative path is of the working directory at this call. Symbolic links on the way to the
    /// store are followed, inside it never. Root makes no store in another user's home directory.
    ///
    /// - Parameters:
    ///   - path: of the directory. A `~` at its beginning is not expanded but refused, because it would make a directory
    ///     of that name; `./~` names one.
    ///   - configuration: how this value behaves; the defaults are those of the command.
    /// - Throws: `.badConfiguration` for a path that begins with `~`; `.notAStore` when the path is something else, `.incompatibleFormat`,
    ///   `.unsupportedFileSystem`, `.permissionDenied` also for a store that another user shares with a group
    ///   of which this process is no member, and what else the system refuses. A store that
    ///   is not there is not an error.
    public init(at path: String, configuration: Configuration = Configuration()) throws(StoreError)
    {
        try self.init(at: path.utf8, configuration: configuration)
    }

    /// Opens the store at a path of any bytes, which need not be UTF-8.
    ///
    /// - Parameters:
    ///   - path: of the directory, without a NUL. A `~` at its beginning is refused.
    ///   - configuration: how this value behaves; the defaults are those of the command.
    /// - Throws: `.badConfiguration` for a path that begins with `~`; `.notAStore`, `.incompatibleFormat`,
    ///   `.unsupportedFileSystem`, `.permissionDenied`, and what else the system refuses. A store that is not there
    ///   is not an error.
    public init(
        at path: some Collection<UInt8>, configuration: Configuration = Configuration()
    ) throws(StoreError) {
        guard path.first != UInt8(ascii: "~") else {
            throw .tilde(String(decoding: path, as: UTF8.self))
        }
        try self.init(path: Array(path), configuration: configuration)
    }

    /// The same with a path that need not be UTF-8.
    package init(path: [UInt8], configuration: Configuration) throws(StoreError) {
        session = try Session(path: path, configuration: configuration)
    }

}
