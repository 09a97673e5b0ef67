// Fails with: expression is 'async' but is not marked with 'await'
import FlockCache

func deploy(_ store: Store) async throws {
    try store.withLock("deploy") { print("deploying") }
}
