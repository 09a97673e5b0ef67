import FlockCache

let store = try Store(at: "/tmp/first-store")
