// Fails with: Write 'text.utf8'
import FlockCache

func page(_ store: Store) throws -> Store.Value {
    try store.computeIfAbsent("page") { "text" }
}
