#if Async

import Synchronization
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// Changes as tasks see them.
@Suite(.timed) struct ChangeTaskTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    @Test func aTaskSeesEachChangeAsItHappens() async throws {
        let (store, other) = (try Store.telling(at: path), try Store(at: path))
        let changes = store.changes(from: 1)
        let watcher = Task {
            var seen: [String] = []
            for try await change in changes {
                seen.append("\(change.position) \(change.event) \(change.key)")
                if seen.count == 6 { break }
            }
            return seen
        }
        for key: Store.Key in ["a", "b"] { _ = try other.claimAndFinalize(key, []) }
        try await other.remove("a")
        try other.win("c")?.abandon()
        #expect(
            try await watcher.value == [
                "1 claimed a", "2 finalized a", "3 claimed b", "4 finalized b", "5 removed a",
                "6 claimed c",
            ])
    }

    @Test func aPrefixChoosesKeysAndAPositionWhereToBegin() async throws {
        let store = try Store.telling(at: path)
        for key: Store.Key in ["x/1", "y/1", "x/2"] { _ = try store.claimAndFinalize(key, []) }
        var positions: [UInt64] = []
        for try await change in store.changes(prefix: "x/", from: 2) {
            #expect(change.age >= .zero && change.generation > 0)
            positions.append(change.position)
            if positions.count == 3 { break }
        }
        #expect(positions == [2, 5, 6])
    }

    @Test func aStoreThatDoesNotTellThrows() async throws {
        let store = try Store(at: path)
        do {
            for try await _ in store.changes() {}
            Issue.record("it ended")
        } catch let error as StoreError {
            #expect(error.code == .badConfiguration)
        }
    }

    /// Cancelled tasks leave nothing behind: neither a ticket nor, after a while, the thread.
    @Test func cancelledTasksLeaveNothingBehind() async throws {
        let store = try Store.telling(at: path)
        let opened = try store.session.forWriting()
        let tickets = opened.lookOut.watch { ChangeTickets() }
        let tasks = (0..<50).map { _ in
            Task {
                for try await _ in store.changes() {}
            }
        }
        while tickets.count < 50 { try await Task.sleep(for: .milliseconds(1)) }
        for task in tasks { task.cancel() }
        for task in tasks {
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        #expect(tickets.count == 0)
        // And the next is woken as ever.
        let next = Task {
            var changes = store.changes(from: 1).makeAsyncIterator()
            return try await changes.next()?.key
        }
        while tickets.count < 1 { try await Task.sleep(for: .milliseconds(1)) }
        _ = try Store(at: path).win("key")
        #expect(try await next.value == "key")
    }
}

#endif
