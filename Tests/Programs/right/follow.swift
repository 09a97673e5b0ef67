import FlockCache

func follow(_ store: Store) async throws {
    for try await record in store.journal("audit").follow() {
        print(record.number, record.bytes)
        if record.number == 3 { break }
    }
    for try await change in store.changes(prefix: "jobs/") where change.event == .finalized {
        print(change.key)
    }
}
