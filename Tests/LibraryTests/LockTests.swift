import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What a lock promises to one program.
@Suite(.ownThreads) struct LockTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    private func isFree(_ keys: Store.Key..., mode: HeldLock.Mode = .exclusive) throws -> Bool {
        // Another session: another process in all but name.
        try Store(at: path).tryLock(keys, mode) != nil
    }

    @Test func oneHasItAndTheOthersDoNot() throws {
        let store = try makeStore()
        let held = try store.lock(["key"])
        #expect(held.slot == nil)
        #expect(try !isFree("key"))
        #expect(try !isFree("key", mode: .shared))
        #expect(try store.tryLock(["key"]) == nil, "threads exclude one another too")
        #expect(try isFree("another"))
        held.release()
        #expect(try isFree("key"))
    }

    @Test func whoSharesItKeepsOnlyWritersOut() throws {
        let store = try makeStore()
        let first = try store.lock(["key"], mode: .shared)
        let second = try #require(try Store(at: path).tryLock(["key"], .shared))
        #expect(try !isFree("key"))
        first.release()
        #expect(try !isFree("key"))
        second.release()
        #expect(try isFree("key"))
    }

    @Test func droppingItReleasesIt() throws {
        let store = try makeStore()
        _ = try store.lock(["key"])
        #expect(try isFree("key"))
        do {
            let held = try store.lock(["key"])
            #expect(try !isFree("key"))
            _ = consume held
        }
        #expect(try isFree("key"))
    }

    @Test func aClosureHoldsItUntilItsEnd() throws {
        let store = try makeStore()
        struct Failed: Error {}
        #expect(throws: Failed.self) {
            try store.withLock("a", "b") {
                #expect(try !isFree("a"))
                #expect(try !isFree("b"))
                throw Failed()
            }
        }
        #expect(try isFree("a", "b"))
        #expect(try store.withLock("a") { 7 } == 7)
    }

    /// In any order, twice, and none at all.
    @Test func severalAreTakenAsOne() throws {
        let store = try makeStore()
        let held = try store.lock(["c", "a", "b", "a", "c"])
        #expect(held.keys == ["a", "b", "c"])
        #expect(try !isFree("b"))
        #expect(try store.tryLock(["z", "b"]) == nil)
        #expect(try isFree("z"), "nothing is left of what failed")
        held.release()
        #expect(try isFree("a", "b", "c"))
        try store.lock([] as [Store.Key]).release()
    }

    @Test func theWaitThatEndsLeavesNothing() throws {
        let store = try makeStore()
        let held = try store.lock(["b"])
        let other = try Store(at: path)
        let waiter = WaitingThread<StoreError.Code?> { _ in
            storeError { try other.lock(["a", "b"], wait: .upTo(.milliseconds(50))).release() }?
                .code
        }
        #expect(try waiter.result() == .timedOut)
        #expect(try isFree("a"))
        held.release()
        #expect(try isFree("a", "b"))
    }

    @Test func theErrorNamesTheKeyAndWhoHasIt() throws {
        let store = try makeStore()
        let held = try store.lock(["the/key"])
        let other = try Store(at: path)
        let waiter = WaitingThread<StoreError?> { _ in
            storeError { try other.lock(["the/key"], wait: .upTo(.milliseconds(1))).release() }
        }
        let error = try #require(try waiter.result())
        #expect(error.key == "the/key" && error.holder?.processID == getpid())
        let text = error.description
        #expect(text.hasPrefix("cannot lock 'the%2Fkey': timed out: held for "), "\(text)")
        #expect(text.contains(" by pid \(getpid()) ("), "\(text)")
        #expect(try store.holders(of: "the/key").map(\.processID) == [getpid()])
        held.release()
        #expect(try store.holders(of: "the/key").isEmpty)
    }

    /// On another thread than the one that took it.
    @Test func aGuardMayBeReleasedElsewhere() throws {
        let store = try makeStore()
        let box = KeptLock(try store.lock(["b"]))
        _ = inThreads(1) { _ in box.release() }
        #expect(try isFree("b"))
        // This thread no longer holds it, so it may go downwards.
        try store.lock(["a"], wait: .upTo(.seconds(1))).release()
    }

    @Test func slotsAreGivenOutFromTheLowest() throws {
        let store = try makeStore()
        let first = try store.lock(["key"], mode: .slots(3))
        let other = try Store(at: path)
        let second = try #require(try other.tryLock(["key"], .slots(3)))
        let third = try #require(try other.tryLock(["key"], .slots(3)))
        #expect(first.slot == 0 && second.slot == 1 && third.slot == 2)
        #expect(try other.tryLock(["key"], .slots(3)) == nil)
        second.release()
        #expect(try other.tryLock(["key"], .slots(3))?.slot == 1)
        #expect(try !isFree("key"), "slot 0 is the lock itself")
    }

    @Test func keysAndSlotsHaveBounds() throws {
        let store = try makeStore()
        func code(_ keys: [Store.Key], _ mode: HeldLock.Mode = .exclusive) -> StoreError.Code? {
            storeError { try store.lock(keys, mode: mode).release() }?.code
        }
        #expect(code([""]) == .invalidKey)
        #expect(code([Store.Key([UInt8](repeating: 0, count: 4096))]) == nil)
        #expect(code([Store.Key([UInt8](repeating: 0, count: 4097))]) == .invalidKey)
        #expect(code(["a"], .slots(0)) == .invalidKey)
        #expect(code(["a"], .slots(4097)) == .invalidKey)
        #expect(code(["a"], .slots(4096)) == nil)
        #expect(code(["a", "b"], .slots(2)) == .invalidKey)
        #expect(code(["a", "a"], .slots(2)) == nil)
    }

    /// Two threads that wait for each other's keys in one call each.
    @Test func twoThatNameTheSameKeysInAnyOrderBothFinish() throws {
        let store = try makeStore()
        let counts = inThreads(2) { index in
            let keys: [Store.Key] = index == 0 ? ["1", "2"] : ["2", "1"]
            var count = 0
            for _ in 0..<2000 {
                guard let held = try? store.lock(keys, wait: .upTo(.seconds(30))) else { break }
                held.release()
                count += 1
            }
            return count
        }
        #expect(counts == [2000, 2000])
    }

    @Test func whoWaitsIsToldOnce() throws {
        let told = Counter()
        var configuration = Store.Configuration()
        configuration.onWait = { key, holder in
            #expect(key == "key" && holder?.processID == getpid())
            told.add(1)
        }
        let waiting = try Store(at: path, configuration: configuration)
        let held = KeptLock(try makeStore().lock(["key"]))
        let waiter = WaitingThread<Void> { _ in
            try waiting.lock(["key"], wait: .upTo(.seconds(30))).release()
        }
        #expect(waitUntil { told.value == 1 })
        held.release()
        try waiter.result()
        #expect(told.value == 1)
        try waiting.lock(["key"]).release()
        #expect(told.value == 1, "what is free is not waited for")
    }
}
