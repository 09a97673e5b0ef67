import FlockCache

func look(_ store: Store, _ name: String) throws {
    switch try store.claim(name) {
    case .won(let claim): try claim.finalize([1, 2, 3])
    case .ready(let entry): print([UInt8](entry.value), entry.age)
    case .pending(let holder): print("claimed \(holder.age) ago by \(holder)")
    }
    let result = try store.claim(name)
    switch consume result {
    case .won(let claim): try claim.abandon()
    case .ready(let entry): print(entry.value == entry.value)
    case .pending: print("pending")
    }
    switch try store.put("text".utf8, for: name, if: .absent) {
    case .updated, .unchanged: print("there")
    case .pending(let holder): print(holder)
    }
}
