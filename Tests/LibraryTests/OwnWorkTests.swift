#if Async

import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// A wait for what the caller itself computes, or keeps a lease for, is refused at once.
@Suite(.timed) struct OwnWorkTests {
    private let directory = TemporaryDirectory()

    private func makeStore() throws -> Store { try Store(at: directory("store")) }

    private func isRefused(_ error: any Error) -> Bool {
        (error as? StoreError)?.code == .wouldDeadlock
    }

    @Test func aTaskDoesNotWaitForItsOwnComputation() async throws {
        let store = try makeStore()
        let other = try makeStore()
        let value = try await store.computeIfAbsent("key", wait: .forever) {
            await #expect { () async throws in
                _ = try await other.computeIfAbsent("key", wait: .forever) { [2] }
            } throws: {
                isRefused($0)
            }
            // Nor do its child tasks.
            async let child = store.claim("key", wait: .forever).holder
            do {
                _ = try await child
                Issue.record("it was not refused")
            } catch {
                #expect(isRefused(error))
            }
            // Another key may be computed inside.
            return [UInt8](try await store.computeIfAbsent("inner") { [1] })
        }
        #expect([UInt8](value) == [1])
    }

    @Test func aThreadDoesNotWaitForItsOwnComputation() async throws {
        let store = try makeStore()
        try Self.onThread(store)
        // A synchronous closure of the asynchronous form.
        _ = try await store.computeIfAbsent("other") {
            #expect { try Self.compute("other", in: store) } throws: { isRefused($0) }
            return [UInt8(3)]
        }
    }

    private static func onThread(_ store: Store) throws {
        let value = try store.computeIfAbsent("key", wait: .forever) {
            #expect { try compute("key", in: store) } throws: {
                ($0 as? StoreError)?.code == .wouldDeadlock
            }
            return [UInt8(1)]
        }
        #expect(value.count == 1)
        // It is over, and no longer in the way.
        #expect([UInt8](try store.computeIfAbsent("key") { [2] }) == [1])
    }

    private static func compute(_ key: Store.Key, in store: Store) throws {
        _ = try store.computeIfAbsent(key, wait: .forever) { [2] }
    }

    /// What need not wait is no circle: the old value is there while a new one is computed.
    @Test func anOldValueIsReadInside() async throws {
        let store = try makeStore()
        try await store.put([1], for: "key")
        let value = try await store.computeIfAbsent("key", maxAge: .zero) {
            [UInt8](try await store.computeIfAbsent("key", wait: .forever) { [9] }) + [2]
        }
        #expect([UInt8](value) == [1, 2])
    }

    @Test func nobodyWaitsForTheLeaseThatItsClosureRunsUnder() async throws {
        let store = try makeStore()
        _ = try await store.withLease("key", timeToLive: .seconds(600)) { _ in
            await #expect { () async throws in
                try await store.withLease("key", timeToLive: .seconds(600), wait: .forever) { _ in }
            } throws: {
                isRefused($0)
            }
        }
        try Self.leaseOnThread(store)
    }

    private static func leaseOnThread(_ store: Store) throws {
        let generation = try store.withLease("key", timeToLive: .seconds(600)) { generation in
            #expect {
                try store.withLease("key", timeToLive: .seconds(600), wait: .forever) { _ in }
            } throws: {
                ($0 as? StoreError)?.code == .wouldDeadlock
            }
            let isCurrent = try store.isCurrent(generation, ofLease: "key")
            #expect(isCurrent)
            return generation
        }
        #expect(try !store.isCurrent(generation, ofLease: "key"))
    }
}

#endif
