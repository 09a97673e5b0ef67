#if Async

import Glibc
import SystemCalls
import TestSupport

@testable import FlockCache

/// What a process may be stopped with in its hands.
enum Stuck: Sendable {
    case shard(of: Store.Key)
    case journal(Store.Key)
    /// The journal of a store's changes.
    case changes
}

/// Runs a closure while another thread, with a store of its own, has what a stopped process would have.
func whileStuck<R>(
    _ stuck: Stuck, at path: String, _ body: nonisolated(nonsending) () async throws -> R
) async throws -> R {
    let other = try Store(at: path)
    let (isHeld, isOver) = (Counter(), Counter())
    let holder = TestSupport.startThread {
        // What cannot be held shows in a test that waits for that.
        try? other.session.forWriting().hold(stuck) {
            isHeld.add(1)
            while isOver.value == 0 { usleep(1000) }
        }
    }
    while isHeld.value == 0 { try await Task.sleep(for: .milliseconds(1)) }
    defer {
        isOver.add(1)
        pthread_join(holder, nil)
    }
    return try await body()
}

extension OpenStore {
    fileprivate func hold(_ stuck: Stuck, _ body: () -> Void) throws {
        switch stuck {
        case .shard(let key):
            let mutex = try ShardMutex(self, EntryName(key).shard, patience: .seconds(60))
            body()
            withExtendedLifetime(mutex.shard) {}
        case .journal(let name):
            try hold(journals.journal(JournalName(name)), body)
        case .changes:
            guard let changes else { throw Unexpected("a store without a journal of changes") }
            try hold(changes.journal, body)
        }
    }

    private func hold(_ journal: SegmentedJournal, _ body: () -> Void) throws {
        let held = try HeldJournal(journal, patience: .seconds(60))
        body()
        withExtendedLifetime(held.next) {}
    }
}

#endif
