// Fails with: Write 'try await', or, to block, call it in a function that is not 'async'
import FlockCache

let store = try Store(at: "/tmp/pages")
try await Task.sleep(for: .seconds(1))
try store.withLock("deploy") { print("deploying") }
