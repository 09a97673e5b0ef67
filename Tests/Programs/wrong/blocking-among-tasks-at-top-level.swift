// Fails with: Write 'try await'. At the top level of main.swift also move the call into an 'async' function
import FlockCache

let store = try Store(at: "/tmp/pages")
try await Task.sleep(for: .seconds(1))
try store.withLock("deploy") { print("deploying") }
