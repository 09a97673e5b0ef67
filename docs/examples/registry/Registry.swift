// A registry of tools that the workers of several programs share, the one skill that is active, and a cache of pages
// with a limit to its size.
//
//   example-registry STORE WORKERS
//
// Starts so many workers, each of which registers tools, takes its turn with the skill and fetches pages, and prints
// what came of it.

import FlockCache
import Glibc

/// Tools by name; the first to register a name has it.
struct ToolRegistry {
    let store: Store

    /// True if the name was free.
    func register(_ name: String, _ specification: String) throws -> Bool {
        switch try store.claim(Self.key(name)) {
        case .won(let claim):
            try claim.finalize(specification.utf8)
            return true
        case .ready: return false
        case .pending: return false
        }
    }

    /// What was registered, whole; nil where nothing was.
    func specification(of name: String) throws -> String? {
        try store.entry(for: Self.key(name)).map { String(decoding: $0.value, as: UTF8.self) }
    }

    func deregister(_ name: String) throws { try store.remove(Self.key(name)) }

    private static func key(_ name: String) -> Store.Key { Store.Key("tool/" + name) }
}

/// Pages by address, of which the least recently used go when there are too many bytes.
struct PageCache {
    let store: Store
    let mostBytes: Int

    /// A page, fetched once however many ask for it at the same time.
    func page(
        _ address: String, fetch: @Sendable () async throws -> [UInt8]
    ) async throws -> Value {
        let page = try await store.computeIfAbsent(
            Store.Key("page/" + address), maxAge: .seconds(3600)
        ) {
            try await fetch()
        }
        var limits = Store.ReapLimits()
        limits.maxBytes = mostBytes
        try await store.reap(limits)
        return page
    }
}

/// What the workers have done.
actor Tally {
    private(set) var registered = 0
    private(set) var fetched = 0
    private(set) var mostActive = 0
    private var active = 0

    func hasRegistered() { registered += 1 }
    func hasFetched() { fetched += 1 }

    func begin() {
        active += 1
        mostActive = max(mostActive, active)
    }

    func end() { active -= 1 }
}

@main struct Registry {
    static func main() async throws {
        guard CommandLine.arguments.count > 2, let workers = Int(CommandLine.arguments[2]) else {
            print("usage: example-registry STORE WORKERS")
            exit(64)
        }
        let path = CommandLine.arguments[1]
        let tools = ToolRegistry(store: try Store(at: path + "/tools"))
        let pages = PageCache(store: try Store(at: path + "/pages"), mostBytes: 1 << 20)
        let tally = Tally()
        try await withThrowingTaskGroup { group in
            for worker in 0..<workers {
                group.addTask { try await work(worker, tools, pages, tally) }
            }
            try await group.waitForAll()
        }
        print("registered \(await tally.registered)")
        print("active at once \(await tally.mostActive)")
        print("fetched \(await tally.fetched)")
        print("pages \(try pages.store.counts().ready)")
    }

    private static func work(
        _ worker: Int, _ tools: ToolRegistry, _ pages: PageCache, _ tally: Tally
    ) async throws {
        for tool in 0..<10 where try tools.register("\(worker)-\(tool)", "takes \(tool)") {
            await tally.hasRegistered()
        }
        // One skill at a time, in all programs that use the store.
        try await tools.store.withLock("active skill") {
            await tally.begin()
            await Task.yield()
            await tally.end()
        }
        for number in 0..<5 {
            _ = try await pages.page("https://example.org/\(number)") {
                await tally.hasFetched()
                return [UInt8](repeating: UInt8(number), count: 100_000)
            }
        }
    }
}
