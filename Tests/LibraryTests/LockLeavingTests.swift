import Synchronization
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Who gives up waiting for a lock.
@Suite(.ownThreads) struct LockLeavingTests {
    private let directory = TemporaryDirectory()

    /// It may have been woken in place of the next one, so it wakes that.
    ///
    /// The next one's sleeps also end by themselves, after 40 ms; on a busy machine more often so, but not each time.
    @Test func whoLeavesTheQueueWakesTheNext() throws {
        let store = try Store(at: directory("store"))
        let opened = try store.session.forWriting()
        let name = try LockName("key")
        let held = KeptLock(try store.lock(["key"]))
        var ownEnds = 0
        var isWoken = false
        while !isWoken, ownEnds < 50 {
            let first = try KeyLock(name, .exclusive, in: opened, at: .now)
            #expect(try first.step(isLate: false) != nil)
            let next = WaitingThread<Bool> { look in
                let lock = try KeyLock(name, .exclusive, in: opened, at: .now)
                defer { lock.end() }
                guard let rest = try lock.step(isLate: false) else { return false }
                look()
                return !rest.sleep(until: BootTime.now.advanced(by: .seconds(60)))
            }
            #expect(waitUntil { next.count > 0 })
            first.end()
            isWoken = try next.result()
            if !isWoken { ownEnds += 1 }
        }
        print("the next was woken after \(ownEnds) sleeps that ended by themselves")
        #expect(isWoken)
        held.release()
    }
}
