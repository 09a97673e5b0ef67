import FlockCache

func deploy(_ store: Store, to hosts: [String]) throws {
    let lock = try store.lock("deploy")
    defer { lock.release() }
    let all = try store.lock(hosts.map { "hosts/\($0)" }, mode: .shared, wait: .seconds(5))
    print("holding them")
    all.release()
    all.release()
    if let cleaning = try store.lockIfAvailable("clean") {
        print("cleaning")
        cleaning.release()
    }
    let sum = try store.withLock("a", "b", wait: .milliseconds(100)) { 1 + 2 }
    print(sum)
}
