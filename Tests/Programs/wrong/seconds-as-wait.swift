// Fails with: Write '.seconds(5)
import FlockCache

func deploy(_ store: Store) throws { try store.lock("deploy", wait: 5).release() }
