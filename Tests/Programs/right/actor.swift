import FlockCache

actor Leader {
    let store: Store
    private var rounds = 0

    init(_ store: Store) { self.store = store }

    func lead() async throws -> Int {
        try await store.withLease("leader", timeToLive: .seconds(30)) { generation in
            while !Task.isCancelled && rounds < 3 {
                rounds += 1
                print("round \(rounds) of generation \(generation)")
                await Task.yield()
            }
            return rounds
        }
    }

    func count() async throws {
        try await store.withLock("rounds") { rounds += 1 }
        _ = try await store.computeIfAbsent("rounds") { "\(rounds)".utf8 }
    }
}
