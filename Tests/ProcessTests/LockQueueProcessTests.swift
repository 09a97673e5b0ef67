import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The queue of a lock where those in it are stopped, killed, forked, or have other clocks.
@Suite(.ownThreads) struct LockQueueProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private var queue: QueueName { get throws { try LockName("key").queue } }

    private func waiters(_ store: Store) throws -> Int {
        try #require(try store.session.forWriting().board.known)
            .waiters(inQueueOfSlot: queue.slot)
    }

    /// A process that waits behind those who wait already.
    private func queueUp(_ store: Store) throws -> PeerProcess {
        let before = try waiters(store)
        let peer = PeerProcess(path)
        peer.process.tell("lock x 60000 key")
        #expect(waitUntil { (try? waiters(store)) == before + 1 })
        return peer
    }

    @Test(arguments: [1, 2]) func theFirstMayBeKilled(_ count: Int) throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let victims = try (0..<count).map { _ in try queueUp(store) }
        let line = LockLine(store)
        let waiters = try line.come(0..<5)
        for victim in victims { victim.kill() }
        held.release()
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order == Array(0..<5))
    }

    /// It is called, and killed before it has done anything.
    @Test func whoWasCalledMayBeKilled() throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let victim = try queueUp(store)
        victim.process.kill(SIGSTOP)
        let line = LockLine(store)
        let waiters = try line.come(0..<5)
        held.release()
        victim.kill()
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order == Array(0..<5))
    }

    /// Stopped at the head, it costs the others one nap in all; going on, it is the first again.
    @Test func aStoppedOneCostsOneNapAndIsTheFirstAgain() throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let stopped = try queueUp(store)
        stopped.process.kill(SIGSTOP)
        let line = LockLine(store)
        let waiters = try line.come(0..<100)
        held.release()
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order.count == 100 && swappedPairs(line.order) <= 50, "\(line.order)")
        let naps = line.gaps.count { $0 > 30 }
        print(
            "behind a stopped one: \(naps) gaps of more than 30 ms, the longest \(line.gaps.max() ?? 0)"
        )
        #expect(naps < 25, "\(line.gaps)")
        // Who comes now is behind it when it goes on.
        let again = KeptLock(try store.lock(["key"]))
        let later = LockLine(store)
        let behind = try later.come(0..<3)
        let board = try #require(try store.session.forWriting().board.known)
        let passed = try #require(board.passed(in: queue))
        stopped.process.kill(SIGCONT)
        #expect(waitUntil { (try? queue).map { board.passed(in: $0) != passed } ?? false })
        again.release()
        #expect(stopped.process.line() == "held -")
        #expect(later.order == [])
        #expect(stopped.ask("drop-lock") == "done")
        for waiter in behind { #expect(try waiter.result()) }
        #expect(later.order == [0, 1, 2])
    }

    /// Who is stopped and was passed keeps nobody out who does not wait, when the lock has been free for long.
    @Test func whoDoesNotWaitPassesAStoppedOneInTime() throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let stopped = try queueUp(store)
        stopped.process.kill(SIGSTOP)
        held.release()
        let start = BootTime.now
        #expect(try store.tryLock(["key"]) == nil || start.milliseconds() > 100)
        #expect(waitUntil { (try? store.tryLock(["key"])) != nil })
        #expect(start.milliseconds() > 100)
        stopped.kill()
    }

    /// A child that the handlers of forks do not see keeps the open file, and no place in the queue.
    @Test func aChildThatIsForkedUnseenKeepsNoPlace() throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let peer = PeerProcess(path)
        let answer = peer.ask("lock-fork-unseen key")
        let child = try #require(pid_t(answer.dropFirst("forked ".count)), "\(answer)")
        defer { kill(child, SIGKILL) }
        held.release()
        #expect(peer.process.line() == "held")
        #expect(peer.ask("unlock") == "released")
        let file = try store.session.forWriting().locks.open().open(for: LockName("key"))
        let range = try queue.start
        #expect(try file.byteOfOthers(at: range, count: TicketOrder.count) == nil)
        #expect(try store.tryLock(["key"]) != nil)
        peer.kill()
    }

    // MARK: The board

    /// Cut by hand under those who have it mapped: nobody is ended, and all are served.
    @Test(arguments: [0, 5000, 100_000]) func aBoardThatIsCutEndsNobody(_ size: off_t) {
        let stage = Stage()
        let holder = stage.hold("key")
        let waiters = (0..<3).map { number in
            let waiter = stage.startLock("key", "--", "true")
            #expect(waitUntil { stage.waiters(of: "key") == number + 1 })
            return waiter
        }
        #expect(truncate(stage.store + "/board", size) == 0)
        #expect(holder.outcome().code == 0)
        for waiter in waiters { #expect(waiter.outcome().code == 0) }
        #expect(stage.isFree("key"))
    }

    // MARK: Clocks

    /// A wait lasts as long as it is told to while the machine is awake.
    @Test(arguments: [
        "lock -w 2s key -- true", "claim -w 2s key", "lease acquire -w 2s --ttl 9h key",
    ])
    func aSuspendEndsNoWait(_ words: String) {
        var stage = Stage()
        let holder = stage.hold("key")
        let owner = stage.start(
            "flock-cache claim key; flock-cache lease acquire --ttl 9h key; echo; exec cat")
        for _ in 0..<3 { #expect(owner.line() != nil) }
        // An hour, of which only the boot clock knows.
        stage.variables["FLOCK_CACHE_SUSPENDED_AFTER"] = "300"
        let start = ContinuousClock.now
        let outcome = stage.script("flock-cache \(words)")
        #expect(outcome.code == 124, "\(outcome)")
        #expect(ContinuousClock.now - start >= .seconds(2))
        #expect(holder.outcome().code == 0 && owner.outcome().code == 0)
    }

    /// Commands that come one after the other, each with words before it and its own environment: the order in which
    /// they are served.
    private func order(
        _ count: Int, of stage: Stage, _ wrapper: (Int) -> [String] = { _ in [] },
        _ clock: (Int) -> String? = { _ in nil }
    ) -> [Int] {
        let holder = stage.hold("key")
        let log = stage.directory("log")
        let waiters = (0..<count).map { number in
            let words =
                wrapper(number) + [
                    builtProducts + "/flock-cache", "lock", "key", "--", "sh", "-c",
                    "echo \(number) >>'\(log)'",
                ]
            var variables = stage.variables
            variables["FLOCK_CACHE_TICKET_CLOCK"] = clock(number)
            let child = Child(words[0], Array(words.dropFirst()), environment: variables)
            #expect(waitUntil { stage.waiters(of: "key") == number + 1 })
            return child
        }
        #expect(holder.outcome().code == 0)
        for waiter in waiters { #expect(waiter.outcome().code == 0) }
        return String(decoding: contents(of: log) ?? [], as: UTF8.self).split(separator: "\n")
            .compactMap { Int($0) }
    }

    /// The number of a ticket goes around after 78 hours.
    @Test(arguments: [1 << 32, 1 << 31]) func theClockMayGoAround(_ place: Int64) {
        var variables: [String: String] = [:]
        var now = timespec()
        clock_gettime(CLOCK_BOOTTIME, &now)
        let units = Int64(now.tv_sec) * 1_000_000_000 >> 16
        // In the middle of the arrivals.
        variables["shift"] = "\(place - units - 1500)"
        #expect(order(20, of: Stage(), { _ in [] }, { _ in variables["shift"] }) == Array(0..<20))
    }

    /// All come in one unit of the clock.
    @Test func thoseWhoComeAtTheSameTimeStayInOrder() {
        #expect(order(20, of: Stage(), { _ in [] }, { _ in "=4294967290" }) == Array(0..<20))
    }

    @Test(.enabled(if: canUnshareTime, "needs root and unshare -T"))
    func timeNamespacesShareAQueue() {
        let shifts = [0, 3600, -3600]
        let found = order(
            12, of: Stage(),
            { $0 % 3 == 0 ? [] : inTimeNamespace(shiftedBy: shifts[$0 % 3]) })
        #expect(found == Array(0..<12))
    }
}
