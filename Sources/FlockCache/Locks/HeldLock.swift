extension Store {
    /// One or more locks that this process holds.
    ///
    /// The locks are held until ``release()``, or until the value's life ends:
    ///
    ///     let lock = try store.lock("deploy")
    ///     defer { lock.release() }
    ///
    /// Use the value, as `defer` does here: an unused one must not be replaced by `_`, as the compiler then
    /// proposes, because `_ = try store.lock(…)` releases the locks at once. `withLock` has no such trap.
    ///
    /// The locks may be released by another thread than the one that took them. When the process ends,
    /// however it ends, the kernel releases them. In a forked child a value of the parent has no effect.
    public struct HeldLock: ~Copyable, Sendable {
        /// Who else may have the lock at the same time.
        public enum Mode: Hashable, Sendable {
            /// Nobody.
            case exclusive
            /// Others who ask for it shared.
            case shared
            /// That many holders, each with a slot of its own: 1 to 4096, of one key.
            ///
            /// A semaphore whose permits come back when their holders die. Everybody should name the same
            /// number: who names more has more slots to look for, and slot 0 is also the exclusive lock.
            case slots(Int)
        }

        let held: HeldKeys

        init(_ held: HeldKeys) { self.held = held }

        /// Which slot it is, 0 and up: the lowest that was free; nil where there are none.
        public var slot: Int? { held.slot }

        /// Whether a lock was lost while it was held: its file was removed, by a cleaner of old files or by hand,
        /// and another process may have taken the lock since.
        ///
        /// Ask before `release()` where that matters: two system calls for each key. The locks of
        /// a store that was removed, or moved to another path, are lost too. On NFS the server is asked as well, which
        /// takes the locks of a host back that was out of contact for longer than its lease; this waits for its answer.
        /// False after the release, and in a forked child.
        public var isLost: Bool { held.isLost }

        /// Throws `.lockLost` where `isLost`.
        package func checkKept() throws(StoreError) { try held.checkKept() }

        /// Releases the locks, as the end of the value's life does.
        ///
        /// Safe to call from a `defer` block, from any thread, and more than once: only the first call releases.
        public func release() { held.release() }

        deinit { held.release() }

        /// For another thread to ask whether the locks are still held.
        package var asking: Asking { Asking(held: held) }

        /// Leaves the locks to the end of this process.
        package func leave() { held.leave() }

        /// Keeps the locks in the program that this process is about to execute.
        package func keepThroughExecution() throws(StoreError) { try held.keepThroughExecution() }

        /// The processes that had the locks before and were killed; they may still be ending.
        package var killedHolders: [Int32] { held.killedHolders }

        /// Notes on the board what is run under the locks.
        package func note(command: [UInt8]) { held.note(command: command) }

        /// The keys, in the order in which they were taken.
        package var keys: [Store.Key] { held.keys }
    }
}

extension Store.HeldLock {
    /// What a thread asks a server with, which may take the locks of this machine back.
    package struct Asking: Sendable {
        let held: HeldKeys

        /// How long the server keeps the locks of a machine that it does not hear from; nil where none takes them back.
        package var serverLease: Duration? { held.locks.first?.store.files.serverLease }

        /// - Throws: `.lockLost` where the server has taken one back. Blocks as long as it does not answer.
        package func ask() throws(StoreError) { try held.ask() }
    }
}

/// The short name inside this package.
package typealias HeldLock = Store.HeldLock
