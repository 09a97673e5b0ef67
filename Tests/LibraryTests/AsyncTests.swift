#if Async

import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// The asynchronous forms: their results, and what cancelling leaves.
@Suite(.timed) struct AsyncTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> (store: Store, waits: Counter) {
        try storeThatCountsWaits(at: path)
    }

    @Test func bothFormsOfClosuresComputeOnce() async throws {
        let (store, _) = try makeStore()
        let first = try await store.computeIfAbsent("synchronous") { "1".utf8 }
        let second = try await store.computeIfAbsent("asynchronous") {
            await Task.yield()
            return "2".utf8
        }
        #expect(first.copied == Array("1".utf8) && second.copied == Array("2".utf8))
        struct Failed: Error {}
        await #expect(throws: Failed.self) {
            try await store.computeIfAbsent("failed") { () throws -> [UInt8] in throw Failed() }
        }
        await #expect(throws: Failed.self) {
            try await store.computeIfAbsent("failed") { () async throws -> [UInt8] in
                await Task.yield()
                throw Failed()
            }
        }
        #expect(try store.claimAndFinalize("failed", [UInt8]()).isWon, "the claims were given up")
    }

    /// The closures run where the caller does.
    @MainActor @Test func theClosureRunsOnTheCallersActor() async throws {
        let (store, _) = try makeStore()
        var count = 0
        _ = try await store.computeIfAbsent("key") {
            MainActor.assertIsolated()
            count += 1
            await Task.yield()
            MainActor.assertIsolated()
            return "\(count)".utf8
        }
        #expect(count == 1)
    }

    @Test func aTaskThatWasCancelledBeforeClaimsNothing() async throws {
        let (store, waits) = try makeStore()
        #expect(try store.claimAndFinalize("other", [UInt8]()).isWon)
        let gate = Counter()
        let task = Task {
            while gate.value == 0 { await Task.yield() }
            return try await store.computeIfAbsent("key") { "value".utf8 }.copied
        }
        task.cancel()
        gate.add(1)
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(waits.value == 0 && StoreFiles(path).pending == 0)
        #expect(try store.bytes(of: "key") == nil)
    }

    @Test func aTaskThatIsCancelledWhileItWaitsEndsAndTheOthersWaitOn() async throws {
        let (store, waits) = try makeStore()
        let kept = try store.win("key")
        let tasks = (0..<10).map { _ in
            Task { try await store.computeIfAbsent("key") { "mine".utf8 }.copied }
        }
        try await reach(10, waits)
        for task in tasks[..<5] { task.cancel() }
        for task in tasks[..<5] {
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        try kept?.finalize("value".utf8)
        for task in tasks[5...] { #expect(try await task.value == Array("value".utf8)) }
        #expect(StoreFiles(path).pending == 0)
    }

    /// Cancelling what has its answer changes nothing.
    @Test func aTaskThatIsCancelledAfterItHasWonKeepsItsClaim() async throws {
        let (store, _) = try makeStore()
        let won = Counter()
        let task = Task {
            guard case .won(let claim) = try await store.claim("key", wait: .forever) else {
                throw Unexpected("not won")
            }
            won.add(1)
            while !Task.isCancelled { await Task.yield() }
            try await claim.finalize("value".utf8)
        }
        try await reach(1, won)
        task.cancel()
        try await task.value
        #expect(try store.bytes(of: "key") == Array("value".utf8))
    }

    /// Cancelled at any moment around the wake-up: an answer or an error, and never neither.
    @Test func cancellingAndWakingAtOnceLoseNothing() async throws {
        let (store, waits) = try makeStore()
        var random = Seeded("cancelling and waking at once")
        var outcomes: [String: Int] = [:]
        for round in 0..<100 {
            let key = Store.Key("key-\(round)")
            let kept = try store.win(key)
            let task = Task { try await store.computeIfAbsent(key) { "mine".utf8 }.copied }
            try await reach(round + 1, waits)
            let canceller = Task { [spins = Int.random(in: 0..<3000, using: &random)] in
                for _ in 0..<spins { _ = BootTime.now }
                task.cancel()
            }
            if round % 2 == 0 { try kept?.finalize("value".utf8) } else { try kept?.abandon() }
            await canceller.value
            switch await task.result {
            case .success(let value):
                #expect(value == Array((round % 2 == 0 ? "value" : "mine").utf8))
                outcomes["value", default: 0] += 1
            case .failure(let error):
                #expect(error is CancellationError)
                outcomes["cancelled", default: 0] += 1
            }
        }
        print("cancelled and woken at once: \(outcomes)")
        #expect(StoreFiles(path).pending == 0)
    }

    @Test func aWaitThatEndsSaysWhoHasTheKey() async throws {
        let (store, waits) = try makeStore()
        let kept = try store.win("key")
        let begin = BootTime.now
        switch try await store.claim("key", wait: .upTo(.milliseconds(20))) {
        case .pending(let holder): #expect(holder.processID == getpid())
        default: Issue.record("not pending")
        }
        #expect(begin.milliseconds() >= 20)
        do {
            _ = try await store.computeIfAbsent("key", wait: .upTo(.milliseconds(20))) {
                "mine".utf8
            }
            Issue.record("no error")
        } catch let error as StoreError {
            #expect(error.code == .timedOut && error.holder?.processID == getpid())
        }
        #expect(waits.value == 2)
        switch try await store.claim("key", wait: .upTo(.zero)) {
        case .pending: break
        default: Issue.record("not pending")
        }
        #expect(waits.value == 2, "a wait of no time does not begin")
        try kept?.abandon()
    }

    @Test func withoutEndAWaitEndsWithTheClaim() async throws {
        let (store, waits) = try makeStore()
        let kept = try store.win("key")
        let task = Task {
            try await store.computeIfAbsent("key", wait: .forever) { "mine".utf8 }.copied
        }
        try await reach(1, waits)
        try kept?.abandon()
        #expect(try await task.value == Array("mine".utf8))
    }

    @Test func anAgeCountsFromTheCall() async throws {
        let (store, waits) = try makeStore()
        #expect(try store.claimAndFinalize("key", "old".utf8).isWon)
        let kept = try store.win("key", maxAge: .zero)
        let task = Task {
            try await store.computeIfAbsent("key", maxAge: .zero) { "mine".utf8 }.copied
        }
        try await reach(1, waits)
        try kept?.finalize("new".utf8)
        #expect(try await task.value == Array("new".utf8))
        let again = try await store.computeIfAbsent("key", maxAge: .zero) { "mine".utf8 }
        #expect(again.copied == Array("mine".utf8))
    }

    /// A claim that runs out is taken over, although nobody tells of it.
    @Test func aClaimThatRunsOutIsTakenOver() async throws {
        let (store, _) = try makeStore()
        let kept = try store.win("key", staleAfter: .milliseconds(50))
        let value = try await store.computeIfAbsent("key") { "mine".utf8 }
        #expect(value.copied == Array("mine".utf8))
        #expect(storeError { try kept?.finalize("late".utf8) }?.code == .claimLost)
    }
}

#endif
