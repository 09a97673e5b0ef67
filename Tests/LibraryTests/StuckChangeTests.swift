#if Async

import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// Changes that tasks make behind a process that is stopped in the middle of one: they block none of the threads that
/// tasks share, and a task that is cancelled does not wait for them.
@Suite(.timed) struct StuckChangeTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    enum Change: String, CaseIterable, Sendable {
        case put, update, increment, remove, reap
        case finalize, finalizeFile, abandon, renew
        case renewLease, releaseLease
        case append, appendMany, trim, removeJournal
        case claim, claimIfAvailable, acquireLease

        var stuck: Stuck {
            switch self {
            case .append, .appendMany, .trim, .removeJournal: .journal("log")
            default: .shard(of: "key")
            }
        }

        /// What is not made when its task is cancelled.
        var leavesNothing: Bool {
            [.claim, .claimIfAvailable, .acquireLease].contains(self)
        }
    }

    @Test(arguments: Change.allCases)
    func aCancelledTaskDoesNotWait(_ change: Change) async throws {
        let subject = try ChangeSubject(path, change)
        try await whileStuck(change.stuck, at: path) {
            let task = Task.detached { try await subject.make() }
            task.cancel()
            // Had it waited, it would have been for ten seconds, and then timed out.
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        if change.leavesNothing {
            let isFree = try subject.isMade()
            #expect(isFree, "nothing is left behind")
        } else {
            // The thread that was left with it makes the change.
            #expect(waitUntil { (try? subject.isMade()) == true })
        }
    }

    @Test func whatIsStuckKeepsNoOtherTaskFromItsTurn() async throws {
        let store = try Store(at: path)
        try await whileStuck(.shard(of: "key"), at: path) {
            let tasks = (0..<64).map { _ in
                Task.detached { try await store.increment("key") }
            }
            // Another part of the store, behind all of them.
            let last = Task.detached { try await store.increment("elsewhere") }
            _ = try await last.value
            for task in tasks { task.cancel() }
            // One that had kept a thread would have timed out.
            for task in tasks {
                await #expect(throws: CancellationError.self) { try await task.value }
            }
        }
    }

    /// In a store that tells of its changes, its journal may be what a process is stopped with.
    @Test func neitherIsTheJournalOfChangesWaitedFor() async throws {
        let store = try Store(at: path, configuration: .init(journalsChanges: true))
        try await store.put([1], for: "first")
        try await whileStuck(.changes, at: path) {
            let task = Task.detached { try await store.put([1], for: "key") }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        #expect(waitUntil { (try? store.entry(for: "key")) != nil })
    }
}

/// A store in which a change can be made, and what is seen of it.
private final class ChangeSubject: @unchecked Sendable {
    // By one task at a time.
    private let store: Store
    private let change: StuckChangeTests.Change
    private var claim: Store.Claim?
    private var lease: Store.Lease?
    private let file: String
    private var firstSequence: UInt64 = 0

    init(_ path: String, _ change: StuckChangeTests.Change) throws {
        store = try Store(at: path)
        self.change = change
        file = path + "-value"
        write([UInt8(1)], to: file)
        switch change {
        case .remove: try store.put([1], for: "key")
        case .finalize, .finalizeFile, .abandon, .renew:
            claim = try store.claimIfAvailable("key", staleAfter: .seconds(3600))
        case .renewLease, .releaseLease:
            lease = try store.acquireLease("key", timeToLive: .seconds(3600))
            firstSequence = try leaseSequence()
        case .trim, .removeJournal: try store.journal("log").append([1])
        case .reap: try store.put([1], for: "key")
        default: try store.put([1], for: "other")
        }
    }

    func make() async throws {
        let log = store.journal("log")
        switch change {
        case .put: try await store.put([1], for: "key")
        case .update: try await store.update("key") { _ in [1] }
        case .increment: try await store.increment("key")
        case .remove: try await store.remove("key")
        case .reap: try await store.reap(.init(maxEntries: 0))
        case .finalize: try await claim.take()?.finalize([1])
        case .finalizeFile: try await claim.take()?.finalize(contentsOfFile: file)
        case .abandon: try await claim.take()?.abandon()
        case .renew: try await claim?.renew()
        case .renewLease: try await lease?.renew()
        case .releaseLease: try await lease?.release()
        case .append: try await log.append([1])
        case .appendMany: try await log.append(contentsOf: [[1], [2]])
        case .trim: try await log.trim(keeping: 0)
        case .removeJournal: try await log.remove()
        case .claim: _ = try await store.claim("key").holder
        case .claimIfAvailable: claim = try await store.claimIfAvailable("key")
        case .acquireLease:
            lease = try await store.acquireLeaseIfAvailable("key", timeToLive: .seconds(3600))
        }
    }

    /// Counts what was written of the lease.
    private func leaseSequence() throws -> UInt64 {
        let opened = try store.session.forWriting()
        let file = try opened.leaseFile(try EntryName("key"), making: false, writing: false)
        return try file?.slot(0).cell?.sequence ?? 0
    }

    /// Whether it was made; of what leaves nothing, whether nothing is left.
    func isMade() throws -> Bool {
        switch change {
        case .put, .update, .increment, .finalize, .finalizeFile:
            return try store.entry(for: "key") != nil
        case .remove, .reap: return try store.entry(for: "key") == nil
        case .abandon, .claim, .claimIfAvailable:
            return try store.claimIfAvailable("key") != nil
        case .renew: return try store.claim("key").holder != nil
        case .renewLease: return try leaseSequence() > firstSequence
        case .releaseLease, .acquireLease:
            return try store.acquireLeaseIfAvailable("key", timeToLive: .seconds(1)) != nil
        case .append: return try store.journal("log").kept == 1...1
        case .appendMany: return try store.journal("log").kept == 1...2
        case .trim, .removeJournal: return try store.journal("log").kept == nil
        }
    }
}

#endif
