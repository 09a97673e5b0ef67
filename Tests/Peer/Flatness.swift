#if Async

import CHeap
import FlockCache
import Glibc
import Synchronization

// Whether operations leave anything: descriptors, memory, threads. In a process of their own, where nothing else has
// any.
//
//     flat KIND COUNT         → DESCRIPTORS BYTES, by which there are more after a fourth of COUNT operations than before
//                             it; the least of four rounds, because what leaks does so in each
//     tasks-flat KIND COUNT   the same for what tasks do
//     tasks-many KIND COUNT   so many tasks wait at once, and are cancelled → CANCELLED THREADS, the threads being
//                             those that there were more while all waited

extension Peer {
    func flat(_ rest: String) throws -> String {
        let (kind, count) = Self.split(rest)
        let operation = try Flat.operation(kind, store)
        return try Flat.growth(Int(count) ?? 0, operation)
    }

    mutating func flatInTasks(_ rest: String) throws -> String {
        let (kind, count) = Self.split(rest)
        store = try Flat.store { _, _ in }
        try holdAll()
        return inTasks { store in
            let operation = try Flat.operationOfTasks(kind, store)
            return try await Flat.growth(Int(count) ?? 0, operation)
        }
    }

    mutating func waitInManyTasks(_ rest: String) throws -> String {
        let (kind, number) = Self.split(rest)
        let count = Int(number) ?? 0
        Flat.allowDescriptors()
        let waiting = Flat.Counter()
        store = try Flat.store { _, _ in waiting.add(1) }
        try holdAll()
        return inTasks { store in
            let before = await Tasks.threadsOfTasks()
            let threads = Flat.Counter()
            let cancelled = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<count {
                    group.addTask { await Flat.isCancelled(kind, store, waiting) }
                }
                while waiting.value < count { try? await Task.sleep(for: .milliseconds(1)) }
                // What a wait needs a thread for it has by now.
                for _ in 0..<100 {
                    threads.raise(to: Tasks.threads)
                    try? await Task.sleep(for: .milliseconds(2))
                }
                group.cancelAll()
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            return "\(cancelled) \(threads.value - before)"
        }
    }

    /// Has what others then wait for.
    private mutating func holdAll() throws {
        if case .won(let won) = try store.claim("held") { claim = consume won }
        locked = try store.lock("held")
        leased = try store.acquireLease("held", timeToLive: .seconds(3600))
        try store.journal("log").append("first".utf8)
    }
}

/// What the orders above have in common.
enum Flat {
    typealias Counter = Tasks.Counter

    /// The store of this process, which is to tell of its changes.
    static func store(onWait: @escaping @Sendable (Store.Key, Store.Holder?) -> Void) throws
        -> Store
    {
        try Store(
            at: CommandLine.arguments[1],
            configuration: .init(wait: .forever, journalsChanges: true, onWait: onWait))
    }

    static func allowDescriptors() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    // MARK: Growth

    /// What a process has.
    private struct Usage {
        let descriptors: Int
        let bytes: Int

        static var now: Usage {
            // Reading it takes one more, each time.
            var count = 0
            if let directory = opendir("/proc/self/fd") {
                while readdir(directory) != nil { count += 1 }
                closedir(directory)
            }
            return Usage(descriptors: count, bytes: Int(heap_bytes()))
        }
    }

    private static func growth(_ found: [Usage]) -> String {
        let rounds = zip(found, found.dropFirst())
        let descriptors = rounds.map { $1.descriptors - $0.descriptors }.min() ?? 0
        let bytes = rounds.map { $1.bytes - $0.bytes }.min() ?? 0
        return "\(descriptors) \(bytes)"
    }

    /// How often something is done before anything is counted: until caches are full.
    private static let preparations = 1000
    private static let rounds = 4
    /// How many keys are used in turn.
    private static let keys = 200

    static func growth(_ count: Int, _ operation: (Int) throws -> Void) throws -> String {
        for index in 0..<preparations { try operation(index % keys) }
        var found = [Usage.now]
        for _ in 0..<rounds {
            for index in 0..<count / rounds { try operation(index % keys) }
            found.append(.now)
        }
        return growth(found)
    }

    static func growth(
        _ count: Int, _ operation: (Int) async throws -> Void
    ) async throws -> String {
        for index in 0..<preparations { try await operation(index % keys) }
        var found = [Usage.now]
        for _ in 0..<rounds {
            for index in 0..<count / rounds { try await operation(index % keys) }
            found.append(.now)
        }
        return growth(found)
    }

    // MARK: Operations

    static func operation(_ kind: String, _ store: Store) throws -> (Int) throws -> Void {
        try store.put("value".utf8, for: "ready")
        switch kind {
        case "life":
            return { index in
                let key = Store.Key("key-\(index)")
                if let claim = try store.claimIfAvailable(key) { try claim.finalize("v".utf8) }
                try store.remove(key)
            }
        case "get": return { _ in _ = try store.entry(for: "ready")?.value.count }
        case "put": return { index in try store.put("\(index)".utf8, for: "put") }
        case "increment": return { _ in try store.increment("number") }
        case "append": return { index in try store.journal("appended").append("\(index)".utf8) }
        case "lock": return { index in try store.lock("lock-\(index)").release() }
        case "lease":
            return { _ in try store.acquireLease("lease", timeToLive: .seconds(60)).release() }
        case "renew":
            let lease = KeptLease(try store.acquireLease("renewed", timeToLive: .seconds(60)))
            return { _ in try lease.lease.renew() }
        case "wait":
            let other = try Store(at: CommandLine.arguments[1])
            let claim = KeptClaim(try other.claimIfAvailable("waited"))
            return { _ in
                guard try store.claim("waited", wait: moment).holder != nil else { return }
                withExtendedLifetime(claim) {}
            }
        default: throw UnknownKind(kind: kind)
        }
    }

    /// Long enough to sleep, or to be suspended.
    private static let moment = Store.Wait.upTo(.microseconds(50))

    static func operationOfTasks(
        _ kind: String, _ store: Store
    ) throws -> (Int) async throws -> Void {
        switch kind {
        case "lock": return { index in try await store.withLock("lock-\(index)") {} }
        case "lease":
            return { _ in
                try await store.acquireLease("lease", timeToLive: .seconds(60)).release()
            }
        case "leased":
            return { _ in try await store.withLease("lease", timeToLive: .seconds(60)) { _ in } }
        case "compute":
            return { index in
                _ = try await store.computeIfAbsent("key-\(index)") { [1] }
                try await store.remove("key-\(index)")
            }
        case "wait-key":
            return { _ in _ = try await store.claim("held", wait: moment).holder }
        case "wait-lock":
            return { _ in
                try await timesOut { try await store.lock("held", wait: moment).release() }
            }
        case "wait-lease":
            return { _ in
                try await timesOut {
                    try await store.acquireLease("held", timeToLive: .seconds(1), wait: moment)
                        .release()
                }
            }
        case "wait-journal":
            var records = store.journal("log").follow().makeAsyncIterator()
            return { index in
                _ = try await records.next()
                Task { try await store.journal("log").append("\(index)".utf8) }
            }
        case "wait-changes":
            try store.increment("number")
            var changes = store.changes(prefix: "number", from: 1).makeAsyncIterator()
            return { _ in
                _ = try await changes.next()
                Task { try await store.increment("number") }
            }
        case "put": return { index in try await store.put("\(index)".utf8, for: "put") }
        case "cancelled":
            return { _ in
                let task = Task { try await store.claim("held", wait: .forever).holder }
                task.cancel()
                _ = await task.result
            }
        default: throw UnknownKind(kind: kind)
        }
    }

    private static func timesOut(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as StoreError where error.code == .timedOut {}
    }

    // MARK: Waits

    /// Waits until the task is cancelled; the other thing that may happen is a failure.
    static func isCancelled(_ kind: String, _ store: Store, _ waiting: Counter) async -> Bool {
        do {
            switch kind {
            case "key": _ = try await store.claim("held", wait: .forever).holder
            case "lock": try await store.lock("held", wait: .forever).release()
            case "lease":
                try await store.acquireLease("held", timeToLive: .seconds(1), wait: .forever)
                    .release()
            // Each has read what is there, and goes on to wait.
            case "journal":
                for try await _ in store.journal("log").follow() { waiting.add(1) }
            case "changes":
                for try await change in store.changes(from: 1) where change.position == 1 {
                    waiting.add(1)
                }
            default: return false
            }
            return false
        } catch {
            if error is CancellationError { return true }
            let text = "waiting for a \(kind): \(error)\n"
            _ = write(2, text, text.utf8.count)
            // Nobody is to wait for one who has failed.
            waiting.add(1)
            return false
        }
    }
}

private struct UnknownKind: Error { let kind: String }

private final class KeptClaim {
    let claim: Store.Claim?
    init(_ claim: consuming Store.Claim?) { self.claim = claim }
}

private final class KeptLease {
    let lease: Store.Lease
    init(_ lease: consuming Store.Lease) { self.lease = lease }
}

#endif
