// Fails with: missing argument for parameter 'compute' in call
import FlockCache

func read(_ store: Store) throws { print(try store.computeIfAbsent("page")) }
