import Glibc
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// A store that is moved while a program has it open, for long.
@Suite(.ownThreads) struct MovedStoreTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func move() { #expect(rename(path, directory("moved")) == 0) }

    @Test func aHolderCanAskWhetherItsLockWasLost() throws {
        let store = try Store(at: path)
        let lock = try store.lock(["a", "b"])
        let before = lock.isLost
        move()
        let after = lock.isLost
        // It may come back, unless another was made meanwhile.
        let isBack = rename(directory("moved"), path) == 0
        let atLast = lock.isLost
        #expect(!before && after && isBack && !atLast)
        lock.release()
    }

    @Test func aClosureUnderALockIsTold() throws {
        let store = try Store(at: path)
        let error = storeError { try store.withLock("a", "b") { move() } }
        #expect(error?.code == .lockLost && error?.key == "a", "\(String(describing: error))")
        #expect(error?.path == path)
    }

    /// Within a second, whatever it does: it would work in a store of its own for ever.
    @Test func aProgramThatRunsOnFindsTheNewStore() throws {
        let store = try Store(at: path)
        try store.lock(["key"]).release()
        #expect(try store.claimAndFinalize("key", "old".utf8).isWon)
        move()
        let other = try Store(at: path)
        let held = KeptLock(try other.lock(["key"]))
        #expect(waitUntil { isExcluded(store) })
        #expect(try store.bytes(of: "key") == nil)
        held.release()
        #expect(try store.claimAndFinalize("key", "new".utf8).isWon)
        #expect(try other.bytes(of: "key") == Array("new".utf8))
    }

    #if Async
    @Test func aClosureUnderALeaseIsTold() async throws {
        let store = try Store(at: path)
        let isRun = Counter()
        do {
            try await store.withLease("key", timeToLive: .seconds(1000)) { _ in
                move()
                isRun.add(1)
            }
            Issue.record("it was not told")
        } catch let error as StoreError {
            #expect(error.code == .leaseLost, "\(error)")
        }
        #expect(isRun.value == 1)
    }

    /// A task that waits is told like a thread: its key is another store's by now.
    @Test func aTaskThatWaitsFindsTheNewStore() async throws {
        let store = try Store(at: path)
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won"))
        let begun = Counter()
        var configuration = Store.Configuration()
        configuration.onWait = { _, _ in begun.add(1) }
        let waiting = try Store(at: path, configuration: configuration)
        let task = Task {
            try await waiting.computeIfAbsent("key", wait: .forever) { Array("v".utf8) }
        }
        try await reach(1, begun)
        move()
        #expect(try await task.value.elementsEqual("v".utf8))
        #expect(try Store(at: path).bytes(of: "key") == Array("v".utf8))
        withExtendedLifetime(store) {}
        peer.kill()
    }
    #endif

    @Test func aPassLooksAtTheStoreThatIsThere() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", "v".utf8).isWon)
        #expect(try store.counts().ready == 1)
        move()
        #expect(try store.counts().ready == 0)
        #expect(!isThere(path), "looking makes none")
    }

    private func isExcluded(_ store: Store) -> Bool {
        guard let lock = try? store.tryLock(["key"]) else { return true }
        lock.release()
        return false
    }

    private func isThere(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0
    }

    /// The working directory is the whole process's, so another process plays this.
    @Test func aRelativePathIsOfTheDirectoryInWhichTheStoreWasOpened() throws {
        let peer = PeerProcess(
            "store", wrapper: ["env", "-C", directory.path], environment: ["PATH": "/usr/bin:/bin"])
        #expect(peer.ask("claim key").hasPrefix("won"))
        #expect(peer.ask("finalize v") == "done")
        #expect(isThere(path))
        #expect(peer.ask("chdir /") == "done")
        #expect(peer.ask("lock x 0 key") == "held -")
        #expect(peer.ask("is-lost") == "no")
        #expect(rename(path, directory("moved")) == 0)
        #expect(peer.ask("is-lost") == "yes")
        peer.exit()
    }
}
