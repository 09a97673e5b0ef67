import FlockCache

func tidy() throws {
    let configuration = Store.Configuration(
        durability: .powerLoss, journalsChanges: true,
        onPassedOver: { error in print(error) })
    let store = try Store(at: "/tmp/pages", configuration: configuration)
    for reaped in try store.reap(.init(maxAge: .seconds(3600), maxBytes: 1 << 30)) {
        print(reaped.key, reaped.reason)
    }
    print(try store.counts().ready)
}
