internal import Synchronization
internal import SystemCalls

/// The locks that one call got, as long as they are held.
///
/// While they are, they are registered under the thread or task that asked for them: whoever holds B and
/// waits for A < B may wait for somebody who holds A and waits for B. So such a wait is refused.
final class HeldKeys: Sendable {
    // Apart, because an array for one is an allocation.
    private let first: KeyLock?
    private let others: [KeyLock]
    /// nil where nothing is held.
    let store: StoreIdentity?
    private let epoch = ForkEpoch.current
    private let owner: Owner
    private let isOver = Atomic<Bool>(false)
    /// Held while the locks are looked at or released: a program may do both at once, on two threads.
    private let use = Mutex<Void>(())
    /// Which slot is held of a lock with slots.
    let slot: Int?
    /// Where it stands in its owner's list; under the lock of that.
    fileprivate nonisolated(unsafe) var index = 0

    init(_ first: KeyLock?, _ others: [KeyLock], in store: StoreIdentity?, for owner: Owner) {
        self.owner = owner
        self.first = first
        self.others = others
        self.store = store
        slot = first.flatMap { $0.hasSlots ? $0.slot : nil }
        HeldRegister.add(self, of: owner)
    }

    var locks: [KeyLock] { (first.map { [$0] } ?? []) + others }
    var keys: [Store.Key] { locks.map { $0.name.key } }
    /// Whether the locks are held, and not by the process that this one was forked from.
    var isHeld: Bool { !isOver.load(ordering: .relaxed) && epoch == ForkEpoch.current }

    /// Releases the locks, the last first; twice is fine.
    func release() {
        guard !isOver.exchange(true, ordering: .relaxed), epoch == ForkEpoch.current else { return }
        HeldRegister.remove(self, of: owner)
        use.withLock { _ in
            for lock in others.reversed() { lock.end() }
            first?.end()
        }
    }

    /// The first of the locks of which something is true; nil for none, and where none is held.
    private func first(where isSo: (KeyLock) -> Bool) -> KeyLock? {
        // In a forked child the mutex may be held for ever by a thread that is not there.
        guard isHeld else { return nil }
        return use.withLock { _ in
            guard isHeld else { return nil }
            if let first, isSo(first) { return first }
            return others.first { isSo($0) }
        }
    }

    var isLost: Bool { first { $0.isTakenBack || $0.isLost } != nil }

    /// Throws where a server has taken one of the locks back; blocks as long as it does not answer.
    func ask() throws(StoreError) {
        guard let lost = first(where: { $0.isTakenBack }) else { return }
        throw .lockTakenBack(lost.name.key, lost.path)
    }

    /// Leaves the locks to the end of this process: releasing them could wait for a server that does not answer.
    func leave() {
        guard !isOver.exchange(true, ordering: .relaxed) else { return }
        HeldRegister.remove(self, of: owner)
        _ = unsafe Unmanaged.passRetained(self)
    }

    /// Throws where the files of the locks, or their store, are no longer those that other processes find, or a server
    /// has taken the locks back.
    func checkKept() throws(StoreError) {
        try ask()
        guard let lost = first(where: { $0.isLost }) else { return }
        throw lost.store.files.isElsewhere
            ? .lockLostWithStore(lost.name.key, lost.store.path)
            : .lockLost(lost.name.key, lost.path)
    }

    /// The processes that had the locks before and did not release them.
    var killedHolders: [Int32] { locks.compactMap { $0.killedHolder } }

    func note(command: [UInt8]) { for lock in locks { lock.note(command: command) } }

    func keepThroughExecution() throws(StoreError) {
        for lock in locks { try lock.keepThroughExecution() }
    }

    /// A held key that is equal to `key` or behind it: waiting for `key` while holding that could deadlock.
    fileprivate func obstacle(to key: Store.Key, in store: StoreIdentity) -> Store.Key? {
        guard isHeld, self.store == store else { return nil }
        if let first, !first.name.key.precedes(key) { return first.name.key }
        for lock in others where !lock.name.key.precedes(key) { return lock.name.key }
        return nil
    }
}

extension HeldKeys {
    /// A thread or task of this process.
    enum Owner: Equatable, Sendable {
        case thread(UInt64)
        /// The numbers of tasks are used again. If a guard outlives the task that took it, a later task with
        /// that number may be refused an order of locks that is safe: rare, and never more than a refusal.
        case task(Int)

        static var current: Owner {
            #if Async
            if let task = unsafe withUnsafeCurrentTask(body: { unsafe $0?.hashValue }) {
                return .task(task)
            }
            #endif
            return .thread(threadNumber)
        }

        fileprivate var bucket: Int {
            switch self {
            case .thread(let number): Int(truncatingIfNeeded: number) & (HeldRegister.count - 1)
            case .task(let number): number & (HeldRegister.count - 1)
            }
        }
    }
}

/// What this process holds, by the threads and tasks that asked for it.
private enum HeldRegister {
    static let count = 64
    private nonisolated(unsafe) static let lists: UnsafeMutablePointer<[HeldKeys]> = {
        let lists = UnsafeMutablePointer<[HeldKeys]>.allocate(capacity: count)
        unsafe lists.initialize(repeating: [], count: count)
        return unsafe lists
    }()

    /// Under the lock that forks wait for: in a child nobody is left in the middle of this.
    private static func with<R>(_ owner: HeldKeys.Owner, _ body: (inout [HeldKeys]) -> R) -> R {
        ForkEpoch.hold()
        defer { ForkEpoch.release() }
        return unsafe body(&lists[owner.bucket])
    }

    /// False where it holds nothing for sure.
    static func mayHave(_ owner: HeldKeys.Owner) -> Bool {
        // A task may be the child of one that does.
        if case .task = owner { return true }
        return with(owner) { !$0.isEmpty }
    }

    static func add(_ keys: HeldKeys, of owner: HeldKeys.Owner) {
        with(owner) { list in
            unsafe keys.index = list.count
            list.append(keys)
        }
    }

    static func remove(_ keys: HeldKeys, of owner: HeldKeys.Owner) {
        with(owner) { list in
            guard let last = list.popLast(), last !== keys else { return }
            unsafe last.index = unsafe keys.index
            unsafe list[keys.index] = last
        }
    }

    static func first<R>(of owner: HeldKeys.Owner, _ body: (HeldKeys) -> R?) -> R? {
        with(owner) { list in
            for keys in list {
                if let found = body(keys) { return found }
            }
            return nil
        }
    }
}

extension Session {
    /// Refuses a wait that goes downwards in the order of keys from what this thread, task or process tree
    /// holds, or for that itself.
    func checkOrder(of names: [LockName], for owner: HeldKeys.Owner) throws(StoreError) {
        guard let first = names.first?.key, InheritedLocks.areAny || HeldRegister.mayHave(owner)
        else { return }
        let store = try forWriting().files.identity
        var obstacle = HeldRegister.first(of: owner) { keys in
            // The register has other threads' too, where they share a list.
            keys.isOwned(by: owner) ? keys.obstacle(to: first, in: store) : nil
        }
        #if Async
        obstacle = obstacle ?? HeldByTask.obstacle(to: first, in: store)
        #endif
        if let obstacle { throw .wouldGoDown(first, holding: obstacle, of: nil) }
        try InheritedLocks.check(first, in: store, self)
    }
}

extension HeldKeys {
    fileprivate func isOwned(by other: Owner) -> Bool { owner == other }
}

#if Async
/// What the tasks hold that this one is a child of, within `withLock`.
final class HeldByTask: Sendable {
    @TaskLocal static var current: HeldByTask?
    private let keys: HeldKeys
    private let outer: HeldByTask?

    init(_ keys: HeldKeys) {
        self.keys = keys
        outer = Self.current
    }

    fileprivate static func obstacle(to key: Store.Key, in store: StoreIdentity) -> Store.Key? {
        var next = current
        while let held = next {
            if let found = held.keys.obstacle(to: key, in: store) { return found }
            next = held.outer
        }
        return nil
    }
}
#endif
