internal import Synchronization
internal import SystemCalls

/// One opened store in one process: what a `Store` refers to.
///
/// It opens the store when that is first needed, and anew in a forked child and when the store's
/// directory was removed.
package final class Session: Sendable {
    /// From the root, where a path from there leads to the working directory: a program may change that later.
    private let name: FileName
    let path: String
    let configuration: Store.Configuration
    /// An unmanaged reference to an `OpenStore`, 0 for none.
    ///
    /// Read without a lock, because a lock that another thread held at a fork would stay held in
    /// the child for ever.
    private let current = Atomic<UInt>(0)

    init(path: [UInt8], configuration: Store.Configuration) throws(StoreError) {
        guard !path.contains(0) else {
            throw .notAStore(String(decoding: path, as: UTF8.self), "the path holds a NUL")
        }
        self.path = String(decoding: path, as: UTF8.self)
        name = FileName(Self.absolute(path))
        self.configuration = configuration
        _ = try existing()
    }

    deinit {
        guard let reference = unsafe Self.reference(current.load(ordering: .acquiring)) else {
            return
        }
        // In a forked child it may be the parent's, with threads that are not here: leave it.
        if unsafe reference.takeUnretainedValue().epoch == ForkEpoch.current {
            unsafe reference.release()
        }
    }

    private static func absolute(_ path: [UInt8]) -> [UInt8] {
        guard let first = path.first, first != UInt8(ascii: "/"),
            let here = Process.workingDirectory
        else { return path }
        return here + [UInt8(ascii: "/")] + path
    }

    /// The store, for reading; nil when there is none.
    func existing() throws(StoreError) -> OpenStore? { try open(making: nil) }

    /// The store as it is now, for what goes through the whole of it; nil when there is none.
    func existingNow() throws(StoreError) -> OpenStore? {
        guard let store = try existing() else { return nil }
        guard store.isRemoved || store.files.isElsewhere else { return store }
        forget(store)
        return try existing()
    }

    /// The store, for writing; made if need be.
    func forWriting() throws(StoreError) -> OpenStore {
        guard let store = try open(making: newMarker) else { throw .replaced(path) }
        return store
    }

    /// Makes the store with those settings unless it is there; returns the settings it has.
    package func make(_ marker: Marker) throws(StoreError) -> Marker {
        guard let store = try open(making: marker) else { throw .replaced(path) }
        _ = try store.locksDirectory()
        return store.marker
    }

    /// The number by which this session shows that it lives.
    package func id() throws(StoreError) -> UInt64 { try forWriting().sessionID() }

    /// Keeps the session alive in the program that this process is about to execute.
    package func keepThroughExecution() throws(StoreError) {
        let store = try forWriting()
        try attempt("keep the session of", path) { () throws(Errno) in
            try store.session.keepThroughExecution()
            // With it goes what keeps cleaners out of the files of locks.
            try store.files.keepThroughExecution()
        }
    }

    /// How long the server keeps the locks of a machine that it does not hear from; nil where none takes them back.
    package var serverLease: Duration? { opened?.files.serverLease }
    /// Whether the store is on a file system of this machine alone, so that no server has to be asked.
    package var isLocal: Bool { opened?.isLocal ?? false }

    /// Asks the server whether it still holds the lock by which this session shows that it lives.
    ///
    /// - Throws: `.lockLost` where it has taken it back. Blocks as long as the server does not answer.
    package func ask() throws(StoreError) { try opened?.session.ask() }

    /// Leaves all that is open to the end of this process: closing it could wait for a server that does not answer.
    package func leave() { _ = unsafe Unmanaged.passRetained(self) }

    /// A pass over the whole store.
    package func newPass() -> Pass {
        Pass(telling: configuration.onPassedOver, ofPlanted: configuration.onPlanted)
    }

    private var newMarker: Marker {
        var marker = Marker()
        marker.isDurable = configuration.durability == .powerLoss
        marker.hasJournal = configuration.journalsChanges
        return marker
    }

    /// Runs a closure with the store, again with a fresh one while it is being removed and made anew.
    ///
    /// - Parameter shard: the one that is used, if one is; its directory alone may have been removed.
    func withStore<R: ~Copyable>(
        _ shard: Int?, _ body: (OpenStore) throws(StoreError) -> R
    ) throws(StoreError) -> R {
        guard let result = try withStore(shard, making: true, body) else { throw .replaced(path) }
        return result
    }

    /// The same where a store that was removed is not made anew: nil when there is none.
    func withExistingStore<R: ~Copyable>(
        _ shard: Int?, _ body: (OpenStore) throws(StoreError) -> R
    ) throws(StoreError) -> R? {
        try withStore(shard, making: false, body)
    }

    private func withStore<R: ~Copyable>(
        _ shard: Int?, making: Bool, _ body: (OpenStore) throws(StoreError) -> R
    ) throws(StoreError) -> R? {
        for _ in 0..<5 {
            guard let store = try making ? forWriting() : existing() else { return nil }
            do throws(StoreError) {
                return try body(store)
            } catch {
                // `rm -r` takes a store apart from below: what is missing may be the first sign.
                let isMissing = error.code == .notAStore || error.systemError == Errno.noEntry.code
                guard isMissing else { throw error }
                if let shard, store.files.forgetIfRemoved(shard), !store.isRemoved { continue }
                guard store.isOutdated(at: name) else { throw error }
                store.files.forgetDirectories()
                forget(store)
            }
        }
        throw .replaced(path)
    }

    /// Lets go of a store whose directory was removed.
    func forget(_ store: OpenStore) {
        let bits = unsafe UInt(bitPattern: Unmanaged.passUnretained(store).toOpaque())
        let (exchanged, _) = current.compareExchange(
            expected: bits, desired: 0, ordering: .acquiringAndReleasing)
        // Another thread may be about to retain what it has just loaded, so the reference that
        // `current` held is not released: a store that is removed under a live session costs a few
        // descriptors.
        if exchanged {
            store.files.forgetDirectories()
            store.keptClaims.forget()
        }
    }

    /// No lock of this process is held meanwhile: opening makes calls that can block, as on a device that
    /// hangs, and neither a fork nor another store's locks are to wait for it.
    ///
    /// So two threads may both open the store; the second to end takes what the first has put there, and
    /// closes its own, which carries no lock yet. A reference that `current` held is never released, so
    /// `expected` cannot come to mean another store.
    private func open(making new: Marker?) throws(StoreError) -> OpenStore? {
        while true {
            let seen = current.load(ordering: .acquiring)
            if let store = usable(seen) {
                guard store.files.seemsElsewhere else { return store }
                forget(store)
                continue
            }
            guard
                let store = try OpenStore.open(
                    name, path: path, making: new, configuration: configuration)
            else { return nil }
            let reference = unsafe Unmanaged.passRetained(store)
            let (exchanged, _) = unsafe current.compareExchange(
                expected: seen, desired: UInt(bitPattern: reference.toOpaque()),
                ordering: .acquiringAndReleasing)
            if exchanged { return store }
            unsafe reference.release()
        }
    }

    /// The store that is open, if one is.
    var opened: OpenStore? { usable(current.load(ordering: .acquiring)) }

    /// The store that `current` refers to, unless it is the parent's of a forked child.
    private func usable(_ bits: UInt) -> OpenStore? {
        guard let reference = unsafe Self.reference(bits) else { return nil }
        let store = unsafe reference.takeUnretainedValue()
        return store.epoch == ForkEpoch.current ? store : nil
    }

    private static func reference(_ bits: UInt) -> Unmanaged<OpenStore>? {
        unsafe UnsafeRawPointer(bitPattern: bits).map { unsafe Unmanaged.fromOpaque($0) }
    }
}

extension Session {
    /// Throws where the store that is open was moved or removed: what is published in it nobody would find.
    func checkPlace(finalizing key: Store.Key) throws(StoreError) {
        if isStoreElsewhere { throw .storeMoved("finalize", key, path) }
    }

    /// Whether the store that is open was moved or removed.
    package var isStoreElsewhere: Bool { opened?.files.isElsewhere == true }
}
