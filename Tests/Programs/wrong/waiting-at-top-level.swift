// Fails with: At the top level of main.swift also move the call into an 'async' function
import FlockCache

let store = try Store(at: "/tmp/pages")
let lock = try await store.lock("deploy")
lock.release()
