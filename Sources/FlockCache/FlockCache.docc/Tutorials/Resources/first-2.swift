import FlockCache

func render(_ number: Int) async throws -> String { "This is page \(number)." }

func run() async throws {
    let store = try Store(at: "/tmp/first-store")
    let page = try await store.computeIfAbsent("page-17") { try await render(17).utf8 }
    print(page)
}

try await run()
