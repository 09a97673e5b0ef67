import FlockCache

func serve(_ store: Store) throws {
    var requests = 0
    try store.withLease("primary", timeToLive: .seconds(10), wait: .forever) { generation in
        while requests < 10, try store.isCurrent(generation, ofLease: "primary") { requests += 1 }
    }
    let lease = try store.acquireLease("primary", timeToLive: .seconds(10))
    defer { try? lease.release() }
    try lease.renew()
    print(lease.timeLeft)
}
