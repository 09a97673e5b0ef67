// Fails with: Write 'text.utf8'
import FlockCache

func set(_ store: Store) throws { try store.put("up", for: "state") }
