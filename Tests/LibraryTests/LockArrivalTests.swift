import Synchronization
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Many who come to a queue at once.
@Suite(.ownThreads) struct LockArrivalTests {
    private let directory = TemporaryDirectory()

    /// In the long form a thousand.
    ///
    /// Whoever is not scheduled for a long time when it is its turn is passed: on a busy machine that may be, but not
    /// each time.
    @Test(arguments: wantsLongTests ? [64, 1000] : [64])
    func ofManyWhoComeAtOnceNearlyAllAreServedInOrder(_ count: Int) throws {
        let store = try Store(at: directory("store"))
        var shares: [Double] = []
        repeat {
            let swaps = pairsOutOfOrder(try arrivals(count, store))
            shares.append(100 * Double(swaps) / Double(count * (count - 1) / 2))
        } while shares.count < 5 && (shares.min() ?? 0) > 1
        print("\(count) at once: \(shares) % of the pairs are swapped")
        #expect((shares.min() ?? 0) <= 1)
    }

    /// When one thread asked: somewhere between these, since it may be interrupted at any instruction.
    private struct Arrival {
        /// Before the call.
        let start: BootTime
        /// When it was seen to stand in the queue.
        let end: BootTime
    }

    /// How many pairs were served the other way around than they came.
    ///
    /// Of two whose times overlap nobody can say who came first.
    private func pairsOutOfOrder(_ served: [Arrival]) -> Int {
        var swaps = 0
        for (index, later) in served.enumerated() {
            swaps += served[..<index].count { later.end < $0.start }
        }
        return swaps
    }

    /// So many threads that ask at once, in the order in which they were served.
    private func arrivals(_ count: Int, _ store: Store) throws -> [Arrival] {
        let held = KeptLock(try store.lock(["key"]))
        let served = Mutex<[Arrival]>([])
        let waiting = Counter()
        let barrier = Barrier(count + 1)
        let threads = WaitingThread<[Bool]> { _ in
            inThreads(count) { _ in
                barrier.wait()
                let start = BootTime.now
                var end: BootTime?
                let outcome = try? store.session.lock(["key"], .exclusive, waiting: .seconds(120)) {
                    _ in
                    if end == nil {
                        end = BootTime.now
                        waiting.add(1)
                    }
                }
                guard case .held(let lock) = outcome, let end else { return false }
                served.withLock { $0.append(Arrival(start: start, end: end)) }
                lock.release()
                return true
            }
        }
        barrier.wait()
        #expect(waitUntil { waiting.value == count })
        held.release()
        #expect(try threads.result().allSatisfy { $0 })
        return served.withLock { $0 }
    }

    @Test func eachOfThemIsCounted() throws {
        let store = try Store(at: directory("store"))
        try store.lock(["another"]).release()
        let board = try #require(try store.session.forWriting().board.known)
        for slot in 0..<500 {
            let queue = QueueName(ofLock: 0, slot: slot)
            let barrier = Barrier(4)
            _ = inThreads(4) { number in
                barrier.wait()
                board.join(queue)
                _ = board.announce(queue, Ticket(UInt32(number)))
            }
            #expect(board.waiters(inQueueOfSlot: slot) == 4)
        }
    }

    @Test func whoWasKilledLongAgoIsCountedNoMore() throws {
        let store = try Store(at: directory("store"))
        try store.lock(["another"]).release()
        let board = try #require(try store.session.forWriting().board.known)
        let queue = QueueName(ofLock: 0, slot: 7)
        // Five that are counted, and nobody who says that somebody waits.
        board.memory.add(5, at: BoardLayout.slot(queue.slot) + 4)
        board.join(queue)
        board.join(queue)
        #expect(board.waiters(inQueueOfSlot: queue.slot) == 2)
    }
}
