// Fails with: 'result' used after consume
import FlockCache

func look(_ store: Store) throws {
    let result = try store.claim("page")
    switch consume result {
    case .won(let claim): try claim.abandon()
    case .ready(let entry): print(entry.value)
    case .pending(let holder): print(holder)
    }
    print(result.entry?.age as Any)
}
