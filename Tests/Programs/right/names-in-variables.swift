import FlockCache

struct Job: Store.KeyConvertible {
    let queue: String
    let number: Int
    var storeKey: Store.Key { "\(queue)/\(number)" }
}

func note(_ line: Substring, _ name: String, _ digest: [UInt8], in store: Store) throws {
    try store.put(line.utf8, for: name)
    try store.put(line.utf8, for: "lines/\(name)")
    try store.put(line.utf8, for: line)
    try store.put(line.utf8, for: Store.Key(digest))
    try store.increment(Job(queue: "mail", number: 3))
    try store.remove(name)
    var entries = try store.entries(.ready, prefix: name)
    while let entry = try entries.next() { print(entry.key) }
    try store.journal("audit/\(name)").append(line.utf8)
}
