import Glibc
import Synchronization
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Those who wait for a lock are served in the order in which they came.
@Suite(.ownThreads) struct LockQueueTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private var board: String { path + "/board" }

    enum BoardState: String, CaseIterable { case there, none, deletedMidway }

    /// A store, and a lock of it that is held.
    private func begin(_ state: BoardState = .there) throws -> (Store, KeptLock) {
        let store = try Store(at: path)
        if state == .none {
            _ = try store.session.make(Marker())
            mkdir(board, 0o700)
        }
        return (store, KeptLock(try store.lock(["key"])))
    }

    @Test(arguments: BoardState.allCases)
    func whoComesFirstIsServedFirst(_ state: BoardState) throws {
        let (store, held) = try begin(state)
        let line = LockLine(store)
        let waiters = try line.come(0..<64)
        if state == .deletedMidway { #expect(unlink(board) == 0) }
        held.release()
        for waiter in waiters { #expect(try waiter.result()) }
        // Where the machine is so busy that one is not scheduled for a long time it is passed.
        #expect(line.order.count == 64 && swappedPairs(line.order) <= 20, "\(line.order)")
    }

    /// Those who come when the board has been lost find it out.
    @Test func whoComesAfterTheBoardWasLostIsBehind() throws {
        let (store, held) = try begin()
        let line = LockLine(store)
        let waiters = try line.come(0..<10)
        #expect(unlink(board) == 0)
        let other = try Store(at: path)
        #expect(try other.tryLock(["another"]) != nil)
        held.release()
        let overtaken = Counter()
        #expect(
            waitUntil {
                guard let lock = try? other.tryLock(["key"]) else { return false }
                if line.order.count < 10 { overtaken.add(1) }
                lock.release()
                return line.order.count == 10
            })
        #expect(overtaken.value == 0)
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order == Array(0..<10))
    }

    /// Of several who may have it at once each goes when it is its turn.
    ///
    /// One that is interrupted before it notes that it has its slot is noted late: on a busy machine that may be, but
    /// not each time.
    @Test func slotsAreGivenInTheOrderOfArrival() throws {
        var swaps: [Int] = []
        repeat { swaps.append(try swappedPairsOfSlots()) } while swaps.count < 5 && swaps.last != 0
        #expect(swaps.last == 0, "\(swaps)")
    }

    private func swappedPairsOfSlots() throws -> Int {
        let store = try Store(at: path)
        let held = try (0..<3).map { _ in try #require(try store.tryLock(["key"], .slots(3))) }
        let line = LockLine(store, hold: 300)
        let waiters = try line.come(0..<60, .slots(3))
        for lock in held { lock.release() }
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order.count == 60)
        // Two that have it at once may be noted the other way around.
        return swappedPairs(line.order, within: 3)
    }

    @Test func twoSlotsThatAreReleasedServeTwo() throws {
        let store = try Store(at: path)
        let held = try (0..<2).map { _ in try #require(try store.tryLock(["key"], .slots(2))) }
        let inside = Counter()
        let waiters = (0..<2).map { _ in
            WaitingThread<Bool> { look in
                let outcome = try store.session.lock(["key"], .slots(2), waiting: .seconds(60)) {
                    _ in look()
                }
                guard case .held(let lock) = outcome else { return false }
                let kept = KeptLock(lock)
                defer { kept.release() }
                inside.add(1)
                return waitUntil { inside.value == 2 }
            }
        }
        for waiter in waiters { #expect(waitUntil { waiter.count > 0 }) }
        for lock in held { lock.release() }
        for waiter in waiters { #expect(try waiter.result()) }
    }

    /// Readers behind a writer wait for it, and then go together.
    @Test func readersBehindAWriterGoTogether() throws {
        let store = try Store(at: path)
        let reader = KeptLock(try store.lock(["key"], mode: .shared))
        let line = LockLine(store)
        let writer = try line.come(0)
        let inside = Counter()
        let readers = (0..<5).map { _ in
            WaitingThread<Bool> { look in
                let outcome = try store.session.lock(["key"], .shared, waiting: .seconds(60)) { _ in
                    look()
                }
                guard case .held(let lock) = outcome else { return false }
                let kept = KeptLock(lock)
                defer { kept.release() }
                #expect(line.order == [0])
                inside.add(1)
                return waitUntil { inside.value == 5 }
            }
        }
        for waiter in readers { #expect(waitUntil { waiter.count > 0 }) }
        #expect(inside.value == 0)
        reader.release()
        #expect(try writer.result())
        for waiter in readers { #expect(try waiter.result()) }
    }

    /// Whose time is over leaves the others as they were.
    @Test(arguments: [0, 10, 19])
    func oneWhoGivesUpLeavesTheOrder(_ place: Int) throws {
        let (store, held) = try begin()
        let line = LockLine(store)
        let waiters = try (0..<20).map {
            try line.come($0, waiting: $0 == place ? .milliseconds(300) : .seconds(60))
        }
        #expect(try !waiters[place].result())
        held.release()
        for (index, waiter) in waiters.enumerated() where index != place {
            #expect(try waiter.result())
        }
        #expect(line.order == (0..<20).filter { $0 != place })
    }

    /// Who does not wait takes nothing from those who do, however often it tries.
    ///
    /// One that does not take what is free for long is passed, as if it were stopped: so is one that gets no processor.
    @Test func whoTriesAgainAndAgainOvertakesNobody() throws {
        let (store, held) = try begin()
        let line = LockLine(store, hold: 200)
        let waiters = try line.come(0..<100)
        let queue = try LockName("key").queue
        let board = try #require(try store.session.forWriting().board.known)
        let (overtaken, passed) = (Counter(), Counter())
        let spinner = WaitingThread<Int> { look in
            var looks = 0
            while line.order.count < 100 {
                look()
                looks += 1
                if let lock = try store.tryLock(["key"]) {
                    let hasPassed = board.passed(in: queue) != nil
                    if line.order.count < 100 { (hasPassed ? passed : overtaken).add(1) }
                    lock.release()
                }
            }
            return looks
        }
        // It has tried often before anybody is served, and goes on until all are.
        #expect(waitUntil { spinner.count > 100 })
        held.release()
        for waiter in waiters { #expect(try waiter.result()) }
        _ = try spinner.result()
        print("overtaken \(overtaken.value) times, and \(passed.value) times where one was passed")
        #expect(overtaken.value == 0)
        #expect(line.order.count == 100)
    }

    @Test(arguments: ["zero", "all ones", "random", "ahead"])
    func nonsenseOnTheBoardKeepsNobodyWaiting(_ kind: String) throws {
        let (store, held) = try begin()
        let line = LockLine(store)
        let waiters = try line.come(0..<20)
        let queue = try LockName("key").queue
        let known = try #require(try store.session.forWriting().board.known)
        var random = Seeded("LockQueueTests, nonsense")
        let now = UInt32(truncatingIfNeeded: TicketClock.units(at: .now, isLocal: true))
        let passed: UInt32 =
            switch kind {
            case "zero": 0
            case "all ones": .max
            case "ahead": now &+ 1 << 24
            default: now &- UInt32.random(in: 0...1 << 12, using: &random)
            }
        known.setPassed(Ticket(passed), in: queue)
        let start = BootTime.now
        held.release()
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(Set(line.order) == Set(0..<20))
        // What cannot be a ticket of the past changes nothing.
        if kind == "zero" || kind == "ahead" { #expect(line.order == Array(0..<20)) }
        print("passed is \(kind): \(start.milliseconds()) ms")
    }

    /// Their file is removed: they move to another, and stay in order.
    @Test func whoWaitsInAFileThatIsRemovedStaysInOrder() throws {
        let (store, held) = try begin()
        let line = LockLine(store)
        let waiters = try line.come(0..<10)
        let table = hexadecimal(UInt64(try LockName("key").table), digits: 2)
        #expect(unlink("\(path)/locks/" + String(decoding: table, as: UTF8.self)) == 0)
        held.release()
        for waiter in waiters { #expect(try waiter.result()) }
        #expect(line.order == Array(0..<10))
    }

    /// Two keys of one queue: who holds one and asks for the other, behind somebody who waits for it, gets it.
    @Test func twoKeysOfOneQueueEndInNoCircle() throws {
        let (lower, upper) = (Store.Key("key-1048848"), Store.Key("key-1284406"))
        let names = [try LockName(lower), try LockName(upper)]
        #expect(names[0].queue.start == names[1].queue.start)
        #expect(names[0].table == names[1].table && names[0].hash != names[1].hash)
        let store = try Store(at: path)
        let held = KeptLock(try store.lock([lower]))
        let behind = try LockLine(store, lower).come(0)
        // So that it does not take it on the way of those who find nobody waiting, somebody else is said to wait.
        let known = try #require(try store.session.forWriting().board.known)
        // On a busy machine the one in front is given more time.
        var times: [Double] = []
        repeat {
            _ = known.announce(names[1].queue, Ticket(0))
            let start = BootTime.now
            try store.lock([upper], wait: .upTo(.seconds(20))).release()
            times.append(start.milliseconds())
        } while times.count < 20 && times.min() ?? 0 > 200
        print("two keys of one queue: \(times) ms")
        #expect(times.min() ?? 0 < 200)
        held.release()
        #expect(try behind.result())
    }
}
