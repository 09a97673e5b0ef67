import FlockCache

@main struct Worker {
    static func main() async throws {
        let store = try Store(at: "/tmp/jobs", configuration: .init(wait: .seconds(30)))
        var done = 0
        try await store.withLock("jobs") { done += 1 }
        try await store.withLock("jobs") {
            await Task.yield()
            done += 1
        }
        let result = try await store.claim("job-1", wait: .seconds(5))
        if let entry = result.entry { print(entry.value) }
        print(done)
    }
}
