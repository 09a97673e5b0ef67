import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The queue of a lease where those in it are other processes, stopped or killed.
@Suite(.ownThreads) struct LeaseQueueProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private let line = LeaseLine()

    /// A command that waits behind those who wait already.
    private func queueUp(_ store: Store, _ command: [String] = ["true"]) throws -> Child {
        let before = try LeaseLine.waiters(store) ?? 0
        let child = Child(
            builtProducts + "/flock-cache",
            ["--store", path, "lease", "run", "key", "--ttl", "60s", "-w", "60s", "--"] + command)
        #expect(waitUntil { (try? LeaseLine.waiters(store)) == before + 1 })
        return child
    }

    @Test func commandsAreServedInTheOrderOfTheirCalls() throws {
        let store = try Store(at: path)
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let children = try (0..<8).map { number in
            try queueUp(store, ["sh", "-c", "echo \(number) >> \(directory("order"))"])
        }
        try kept.release()
        for child in children { #expect(child.wait() == .exit(0)) }
        let order = String(decoding: contents(of: directory("order")) ?? [], as: UTF8.self)
        #expect(order == (0..<8).map { "\($0)\n" }.joined())
    }

    @Test(arguments: [1, 2]) func theFirstMayBeKilled(_ count: Int) throws {
        let store = try Store(at: path)
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let victims = try (0..<count).map { _ in try queueUp(store) }
        let waiters = try line.come(0..<5, store)
        for victim in victims {
            victim.kill(SIGKILL)
            #expect(victim.wait() == .signal(SIGKILL))
        }
        try kept.release()
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order == Array(0..<5))
    }

    /// Stopped at the head, it keeps nobody from the lease; going on, it has it in the end.
    @Test func aStoppedOneIsPassed() throws {
        let store = try Store(at: path)
        let kept = try #require(try store.lease("key", .seconds(3600)))
        let stopped = try queueUp(store)
        stopped.kill(SIGSTOP)
        #expect(stopped.waitForStop())
        let waiters = try line.come(0..<5, store)
        try kept.release()
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order == Array(0..<5))
        // Who does not wait has it too: nobody stands in front but who was passed.
        #expect(
            waitUntil {
                guard let lease = try? store.lease("key", .seconds(60)) else { return false }
                return (try? lease.release()) != nil
            })
        stopped.kill(SIGCONT)
        #expect(stopped.wait() == .exit(0))
    }
}
