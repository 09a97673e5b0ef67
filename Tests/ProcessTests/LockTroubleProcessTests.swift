import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Locks where something is missing, removed, stopped, killed or forked.
@Suite(.ownThreads) struct LockTroubleProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// What the parent holds the child does not, and ending it there changes nothing.
    @Test func aForkedChildHasNothing() throws {
        let peer = PeerProcess(path)
        #expect(peer.ask("lock x 0 key") == "held -")
        let answers = [peer.ask("fork"), peer.process.line() ?? ""]
        let child = answers.compactMap { pid_t($0.dropFirst("child ".count)) }.first ?? 0
        try #require(child > 0, "\(answers)")
        defer { kill(child, SIGKILL) }
        let store = try Store(at: path)
        #expect(try store.tryLock(["key"]) == nil)
        #expect(peer.ask("drop-lock") == "done")
        #expect(try store.tryLock(["key"]) != nil, "the child has no part in it")
        #expect(peer.ask("lock x 0 key") == "held -")
        peer.kill()
        try store.lock(["key"], wait: .upTo(.seconds(30))).release()
    }

    /// Killed or stopped at the head of the queue, nobody behind it waits in vain.
    @Test(arguments: [SIGKILL, SIGSTOP])
    func theFirstInTheQueueMayEndOrStop(_ signal: Int32) throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let first = PeerProcess(path)
        first.process.tell("lock x 30000 key")
        let board = try #require(try store.session.forWriting().board.known)
        let queue = try LockName("key").queue
        #expect(waitUntil { board.waiters(inQueueOfSlot: queue.slot) == 1 })
        let file = try store.session.forWriting().locks.open().open(for: LockName("key"))
        #expect(
            waitUntil {
                (try? file.byteOfOthers(at: queue.start, count: TicketOrder.count)) != nil
            })
        first.process.kill(signal)
        let second = lockInThread(store, ["key"])
        #expect(second.waitForSleep())
        held.release()
        #expect(try second.result())
        first.kill()
    }
}
