// Fails with: 'Int' conform to 'Store.KeyConvertible'
import FlockCache

func page(_ number: Int, of store: Store) throws { print(try store.entry(for: number)?.age as Any) }
