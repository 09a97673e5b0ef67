// Fails with: Write 'entry(for:)' to read, or 'computeIfAbsent(_:)' with a closure
import FlockCache

func page(_ store: Store) throws { print(try store.value(for: "page") { "text".utf8 }) }
