import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

#if Async

/// Locks taken by tasks: apart, without blocking a thread, and cancelled without a trace.
@Suite(.timed) struct LockTaskProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> (store: Store, waits: Counter) {
        try storeThatCountsWaits(at: path)
    }

    @Test func tasksAndThreadsAndProcessesExcludeOneAnother() async throws {
        let (store, _) = try makeStore()
        var random = Seeded("LockTaskTests")
        let peers = (0..<2).map { _ in PeerProcess(path) }
        for peer in peers {
            let seed = UInt64.random(in: 0...1 << 40, using: &random)
            peer.process.tell("lock-storm \(seed) 1500 1 \(directory.path)")
        }
        let inside = Counter()
        let overlaps = Counter()
        await withTaskGroup { group in
            for _ in 0..<20 {
                group.addTask {
                    for _ in 0..<20 {
                        try? await store.withLock("key-0", wait: .upTo(.seconds(60))) {
                            if inside.add(1) != 1 { overlaps.add(1) }
                            await Task.yield()
                            inside.add(-1)
                        }
                    }
                }
            }
        }
        #expect(overlaps.value == 0)
        for peer in peers { #expect(peer.process.line() == "done 1500 0") }
    }
}

#endif
