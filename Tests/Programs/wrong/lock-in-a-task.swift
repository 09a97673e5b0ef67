// Fails with: Write 'try await'
import FlockCache

func deploy(_ store: Store) {
    Task { try store.lock("deploy").release() }
}
