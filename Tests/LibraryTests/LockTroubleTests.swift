import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Locks where something is missing, removed, stopped, killed or forked.
@Suite(.ownThreads) struct LockTroubleTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// Where there can be none, or it is lost, in use or before.
    @Test(arguments: ["none", "lost", "a directory"])
    func withoutABoardLocksWork(_ trouble: String) throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let board = path + "/board"
        switch trouble {
        case "none":
            #expect(unlink(board) == 0 && mkdir(board, 0o700) == 0)
        case "lost": #expect(unlink(board) == 0)
        default: #expect(unlink(board) == 0 && mkdir(board, 0o700) == 0)
        }
        let other = try Store(at: path)
        let waiters = (0..<3).map { _ in lockInThread(other, ["key"]) }
        #expect(waiters.allSatisfy { $0.waitForSleep() })
        #expect(try other.tryLock(["key"]) == nil)
        held.release()
        for waiter in waiters { #expect(try waiter.result()) }
    }

    /// A file of the lock table that somebody removed excludes nobody; who has the lock keeps it.
    @Test func aRemovedFileIsMadeAnew() throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["key"]))
        let waiter = lockInThread(store, ["key"])
        #expect(waiter.waitForSleep())
        let file = try LockName("key").table
        #expect(
            unlink(
                "\(path)/locks/"
                    + String(decoding: hexadecimal(UInt64(file), digits: 2), as: UTF8.self))
                == 0)
        held.release()
        #expect(try waiter.result())
        try store.lock(["key"]).release()
    }

    /// Removes the files of the lock table, as a cleaner of old files does.
    private func removeTable() {
        for name in names(in: path + "/locks") where name.utf8.count == 2 {
            #expect(unlink("\(path)/locks/\(name)") == 0)
        }
    }

    @Test func aHolderCanAskWhetherItsLockWasLost() throws {
        let store = try Store(at: path)
        let lock = try store.lock(["a", "b"])
        let before = lock.isLost
        removeTable()
        let after = lock.isLost
        let next = try store.lock(["c"])
        let ofNext = next.isLost
        #expect(!before && after && !ofNext)
        lock.release()
        next.release()
    }

    @Test func aClosureUnderALockThatWasLostIsTold() throws {
        let store = try Store(at: path)
        var isRun = false
        let error = storeError {
            try store.withLock("a", "b") {
                removeTable()
                isRun = true
            }
        }
        #expect(isRun && error?.code == .lockLost, "\(String(describing: error))")
        #expect(error?.key == "a")
        // Its own error comes first.
        #expect(throws: Unexpected.self) {
            try store.withLock("a") {
                removeTable()
                throw Unexpected("of the closure")
            }
        }
        #expect(try store.withLock("a") { 7 } == 7)
    }

    /// A program that runs for long opens its store once.
    @Test func theTimesOfALockFileAreRenewedOnUse() throws {
        let store = try Store(at: path)
        try store.lock(["key"]).release()
        let file = "\(path)/locks/" + names(in: path + "/locks").filter { $0.utf8.count == 2 }[0]
        _ = run("touch", ["-d", "2 hours ago", file], environment: [:])
        try store.lock(["key"]).release()
        var status = stat()
        #expect(stat(file, &status) == 0)
        #expect(
            status.st_mtim.tv_sec > time(nil) - 3600 && status.st_atim.tv_sec > time(nil) - 3600)
    }

    @Test func aStoreThatIsRemovedUnderAWaiterIsMadeAnew() throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["a", "b"]))
        let waiter = lockInThread(store, ["a", "b"])
        #expect(waiter.waitForSleep())
        _ = run("rm", ["-r", path])
        // The holder's locks are of a store that nobody finds any more.
        held.release()
        #expect(try waiter.result())
        try Store(at: path).lock(["a", "b"]).release()
    }

    /// A writer behind readers that overlap all the time gets its turn, because they queue behind it.
    @Test func readersDoNotStarveAWriter() throws {
        let store = try Store(at: path)
        let (begun, isOver) = (Counter(), Counter())
        let reader = { @Sendable (_: Int) -> Int in
            var count = 0
            while isOver.value == 0 {
                guard let held = try? store.lock(["key"], mode: .shared, wait: .upTo(.seconds(30)))
                else { return -1 }
                usleep(2000)
                held.release()
                count += 1
                if count == 1 { begun.add(1) }
            }
            return count
        }
        let readers = WaitingThread<[Int]> { _ in inThreads(8, reader) }
        #expect(waitUntil { begun.value == 8 })
        for _ in 0..<100 {
            try store.lock(["key"], wait: .upTo(.seconds(10))).release()
            sched_yield()
        }
        isOver.add(1)
        #expect(try readers.result().allSatisfy { $0 > 0 })
    }

    /// Whoever does not wait leaves a queue alone, but for a lock that nobody holds.
    @Test func whoDoesNotWaitDoesNotOvertake() throws {
        let store = try Store(at: path)
        let reader = KeptLock(try store.lock(["key"], mode: .shared))
        let writer = lockInThread(store, ["key"])
        #expect(writer.waitForSleep())
        #expect(try store.tryLock(["key"], .shared) == nil, "a writer waits")
        reader.release()
        #expect(try writer.result())
        #expect(try store.tryLock(["key"], .shared) != nil)
    }

    @Test func onAReadOnlyOrFullStoreTheErrorSaysSo() throws {
        _ = try Store(at: path).lock(["key"])
        let locks = path + "/locks"
        try #require(chmod(locks, 0o500) == 0)
        defer { chmod(locks, 0o700) }
        guard !isRoot else { return }
        let error = storeError { try Store(at: path).lock(["another"]).release() }
        #expect(error?.code == .permissionDenied)
    }
}
