// Fails with: Write 'try await'
import FlockCache

func count(_ store: Store) {
    Task { try store.increment("views") }
}
