// main.swift that waits in a function, as asynchronous forms must.
import FlockCache

func render(_ number: Int) async throws -> String { "page \(number)" }

func run() async throws {
    let store = try Store(at: "/tmp/pages")
    let page = try await store.computeIfAbsent("page-17") { try await render(17).utf8 }
    print(String(page))
    let lock = try await store.lock("deploy", wait: .seconds(5))
    defer { lock.release() }
    try await store.withLock("a", "b") { print("both") }
}

try await run()
