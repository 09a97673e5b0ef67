#if Async

import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// Tasks behind a process that is stopped in the middle of a change: nothing keeps them there.
@Suite(.timed) struct StuckTaskTests {
    private let directory = TemporaryDirectory()

    @Test func aCancelledTaskDoesNotWaitToPublish() async throws {
        let store = try Store(at: directory("store"))
        let (begins, goesOn) = (Counter(), Counter())
        let task = Task.detached {
            try await store.computeIfAbsent("key") {
                begins.add(1)
                while goesOn.value == 0 { await Task.yield() }
                return [UInt8(1)]
            }
        }
        while begins.value == 0 { try await Task.sleep(for: .milliseconds(1)) }
        let time = try await whileStuck(.shard(of: "key"), at: directory("store")) {
            goesOn.add(1)
            let start = BootTime.now
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            return start.milliseconds()
        }
        // Ten seconds is how long the change itself waits.
        #expect(time < 5000)
        // The thread that was left with it publishes.
        let entry = try await store.claim("key", wait: .seconds(60)).entry
        #expect(entry?.value.count == 1)
    }

    @Test func whatATaskDropsBlocksNoThreadOfTasks() async throws {
        let store = try Store(at: directory("store"))
        let key: Store.Key = "key"
        // A lease of the same shard.
        let claim = KeptClaim(try await store.claimIfAvailable(key))
        let lease = KeptLease(try await store.acquireLease(key, timeToLive: .seconds(600)))
        #expect(claim.isHeld)
        let time = try await whileStuck(.shard(of: key), at: directory("store")) {
            let start = BootTime.now
            claim.drop()
            lease.drop()
            return start.milliseconds()
        }
        #expect(time < 5000)
        // Threads of their own have ended both.
        let entry = try await store.claim(key, wait: .seconds(60)).entry
        #expect(entry == nil)
        try await store.acquireLease(key, timeToLive: .seconds(600), wait: .seconds(60)).release()
    }
}

private final class KeptClaim: @unchecked Sendable {
    // By one task.
    private var claim: Store.Claim?

    init(_ claim: consuming Store.Claim?) { self.claim = consume claim }

    var isHeld: Bool { claim != nil }
    func drop() { claim = nil }
}

#endif
