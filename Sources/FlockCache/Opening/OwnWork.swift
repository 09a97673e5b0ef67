internal import SystemCalls

/// What this process computes or keeps a lease for just now: a wait for it, from inside, would be a wait for itself.
///
/// Noted under the thread for synchronous closures, and under the task, which its child tasks inherit, for asynchronous
/// ones. A task that was started inside without being a child is taken for one.
final class OwnWork: Sendable {
    enum Kind: String { case computation, lease }

    private let kind: Kind
    private let key: Store.Key
    private let store: StoreIdentity
    private let outer: OwnWork?
    private let epoch = ForkEpoch.current

    private init(_ kind: Kind, _ key: Store.Key, _ store: StoreIdentity, in outer: OwnWork?) {
        self.kind = kind
        self.key = key
        self.store = store
        self.outer = outer
    }

    fileprivate func includes(_ kind: Kind, _ key: Store.Key, _ store: StoreIdentity) -> Bool {
        var work: OwnWork? = self
        while let one = work {
            if one.kind == kind, one.key == key, one.store == store, one.epoch == ForkEpoch.current
            {
                return true
            }
            work = one.outer
        }
        return false
    }

    // MARK: Threads

    /// The innermost work of each thread that has any; under the lock that forks wait for.
    private nonisolated(unsafe) static var byThread: [UInt64: OwnWork] = [:]

    private static func ofThread(_ change: ((OwnWork?) -> OwnWork?)? = nil) -> OwnWork? {
        let thread = threadNumber
        ForkEpoch.hold()
        defer { ForkEpoch.release() }
        let work = unsafe byThread[thread]
        if let change { unsafe byThread[thread] = change(work) }
        return work
    }

    fileprivate static func onThread<R: ~Copyable>(
        _ kind: Kind, _ key: Store.Key, _ store: StoreIdentity, _ body: () throws -> R
    ) rethrows -> R {
        let outer = ofThread { OwnWork(kind, key, store, in: $0) }
        defer { _ = ofThread { _ in outer } }
        return try body()
    }

    fileprivate static var all: [OwnWork] {
        let ofThread = ofThread().map { [$0] } ?? []
        #if Async
        return ofThread + (ofTask.map { [$0] } ?? [])
        #else
        return ofThread
        #endif
    }

    #if Async
    // MARK: Tasks

    @TaskLocal private static var ofTask: OwnWork?

    nonisolated(nonsending) fileprivate static func inTask<R: ~Copyable>(
        _ kind: Kind, _ key: Store.Key, _ store: StoreIdentity,
        _ body: nonisolated(nonsending) () async throws -> R
    ) async rethrows -> R {
        // `withValue` returns what can be copied.
        var result: R?
        try await $ofTask.withValue(OwnWork(kind, key, store, in: ofTask)) {
            result = try await body()
        }
        guard let result = result.take() else { preconditionFailure("the closure has returned") }
        return result
    }
    #endif
}

extension Session {
    /// Runs a closure that computes a key's value or is protected by its lease.
    func working<R: ~Copyable>(
        _ kind: OwnWork.Kind, _ key: Store.Key, in store: OpenStore, _ body: () throws -> R
    ) rethrows -> R {
        try OwnWork.onThread(kind, key, store.files.identity, body)
    }

    #if Async
    /// The same for an asynchronous closure.
    nonisolated(nonsending) func working<R: ~Copyable>(
        _ kind: OwnWork.Kind, _ key: Store.Key, in store: OpenStore,
        _ body: nonisolated(nonsending) () async throws -> R
    ) async rethrows -> R {
        try await OwnWork.inTask(kind, key, store.files.identity, body)
    }
    #endif

    /// Refuses a wait for what the caller itself is a part of; called when there is something to wait for.
    func checkWait(
        for kind: OwnWork.Kind, _ key: Store.Key, _ holder: Holder?
    ) throws(StoreError) {
        let works = OwnWork.all
        guard !works.isEmpty else { return }
        let store = try forWriting().files.identity
        guard works.contains(where: { $0.includes(kind, key, store) }) else { return }
        throw .waitsForOwn(kind.rawValue, key, holder)
    }
}
