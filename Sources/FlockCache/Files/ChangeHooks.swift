// Unsafe and not behind a mutex: the command sets both once, before it has a second thread, and from then on they are
// only read, in every change. A library's program never sets them.
extension Store {
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
