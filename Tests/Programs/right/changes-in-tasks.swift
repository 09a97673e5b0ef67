import FlockCache

func upload(_ paths: [String], to store: Store) async throws {
    try await withThrowingTaskGroup { group in
        for path in paths {
            group.addTask {
                guard let claim = try await store.claimIfAvailable(path) else { return }
                try await claim.finalize("id of \(path)".utf8)
                try await store.increment("uploads")
                try await store.journal("audit").append("uploaded \(path)".utf8)
            }
        }
        try await group.waitForAll()
    }
    try await store.withLock(paths) {
        for path in paths { try await store.remove(path) }
    }
    let lease = try await store.acquireLease("sweeper", timeToLive: .seconds(10))
    defer { try? lease.release() }
    try await lease.renew()
    for reaped in try await store.reap(.init(maxAge: .seconds(60))) { print(reaped.key) }
}
