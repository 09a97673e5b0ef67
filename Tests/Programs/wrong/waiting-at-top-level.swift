// Fails with: At the top level of main.swift both need a function of their own
import FlockCache

let store = try Store(at: "/tmp/pages")
let lock = try await store.lock("deploy")
lock.release()
