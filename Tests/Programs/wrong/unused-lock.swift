// Fails with: result of call to 'lock(_:mode:wait:)' is unused
import FlockCache

func deploy(_ store: Store) throws {
    try store.lock("deploy")
    print("deploying")
}
