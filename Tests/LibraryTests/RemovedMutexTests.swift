import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The file of mutexes and blocks is removed, and another takes its place, while a session has the former open.
///
/// Its mutexes exclude nobody and its blocks count nothing any more. Whoever has the shard's mutex in the new file keeps
/// the session waiting; so it does not get through by that of the former one.
@Suite(.ownThreads) struct RemovedMutexTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private var shards: String { path + "/locks/shards" }

    private func hold(_ key: Store.Key) throws -> HeldShard {
        #expect(unlink(shards) == 0)
        return try HeldShard(try Store(at: path).session.forWriting(), try EntryName(key).shard)
    }

    @Test func aLeaseIsChangedUnderTheMutexOfNow() throws {
        let store = try Store(at: path)
        let lease = try #require(try store.tryLease("key"))
        let before = try leaseCell(of: "key", in: path)
        let held = try hold("key")
        let error = storeError {
            try store.session.renewLease("key", lease.generation, patience: .milliseconds(50))
        }
        #expect(error?.code == .timedOut, "\(String(describing: error))")
        #expect(try leaseCell(of: "key", in: path) == before)
        _ = consume held
        try lease.renew()
        #expect(try leaseCell(of: "key", in: path) != before)
    }

    /// After a few changes a session has the blocks as memory.
    @Test(arguments: [1, MappedBlocks.firstUse + 2]) func aKeyIsClaimedUnderTheMutexOfNow(
        changes: Int
    ) throws {
        let store = try Store(at: path)
        for number in 0..<changes {
            #expect(try store.claimAndFinalize(Store.Key("key-\(number)"), []).isWon)
        }
        let held = try hold("key")
        let error = storeError {
            _ = try store.session.claim(
                "key", for: .session, maxAge: nil, staleAfter: nil, patience: .milliseconds(50))
        }
        #expect(error?.code == .timedOut, "\(String(describing: error))")
        _ = consume held
        #expect(try store.claimAndFinalize("key", []).isWon)
        #expect(try Store(at: path).counts().ready == changes + 1)
    }
}
