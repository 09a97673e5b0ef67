import FlockCache

func render(_ number: Int) async throws -> String { "This is page \(number)." }

func run() async throws {
    let store = try Store(at: "/tmp/first-store")
    try await store.withLease("publisher", timeToLive: .seconds(30), wait: .forever) { generation in
        for number in 1...20 {
            let page = try await store.computeIfAbsent("page-\(number)") {
                try await render(number).utf8
            }
            print("generation \(generation) publishes: \(page)")
        }
    }
}

try await run()
