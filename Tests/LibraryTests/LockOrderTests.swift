import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Waits that could never end are refused, throughout threads and tasks.
@Suite(.timed) struct LockOrderTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    private func refusal(_ body: () throws -> Void) -> String? {
        guard let error = storeError(body), error.code == .wouldDeadlock else { return nil }
        return error.description
    }

    @Test func downwardsInOneThreadIsRefusedWithBothNames() throws {
        let store = try makeStore()
        let held = try store.lock(["b"])
        let text = try #require(refusal { try store.lock(["a"]).release() })
        #expect(text.hasPrefix("cannot wait for 'a': ") && text.contains("'b'"), "\(text)")
        let own = try #require(refusal { try store.lock(["b"], mode: .shared).release() })
        #expect(own.contains("it would wait for itself"), "\(own)")
        // Also by another way to the same store.
        let other = try Store(at: directory.path + "/./store")
        #expect(refusal { try other.lock(["a", "c"]).release() } != nil)
        // What does not wait is not refused, nor what goes upwards.
        #expect(try store.tryLock(["a"]) != nil)
        #expect(try store.tryLock(["b"]) == nil)
        try store.lock(["c"]).release()
        try store.lock(["b0"]).release()
        held.release()
        try store.lock(["a"]).release()
    }

    @Test func otherThreadsAndOtherStoresAreNotConcerned() throws {
        let store = try makeStore()
        let held = try store.lock(["b"])
        let codes = inThreads(1) { _ in storeError { try store.lock(["a"]).release() }?.code }
        #expect(codes == [nil])
        let elsewhere = try Store(at: directory("elsewhere"))
        try elsewhere.lock(["a"]).release()
        held.release()
    }

    /// What was refused holds nothing.
    @Test func aRefusalLeavesWhatWasHeld() throws {
        let store = try makeStore()
        let held = try store.lock(["b", "d"])
        #expect(refusal { try store.lock(["c"]).release() } != nil)
        #expect(refusal { try store.lock(["e", "c"]).release() } != nil)
        try store.lock(["e"]).release()
        #expect(try store.tryLock(["e"]) != nil)
        held.release()
    }

    @Test func manyHeldInAnyOrderAreForgottenAsTheyGo() throws {
        let store = try makeStore()
        var random = Seeded("LockOrderTests")
        var kept: [Int: KeptLock] = [:]
        for _ in 0..<500 {
            let number = Int.random(in: 100..<130, using: &random)
            if let held = kept.removeValue(forKey: number) {
                held.release()
            } else {
                kept[number] = try store.tryLock([Store.Key("\(number)")])
            }
            let bound = kept.keys.max() ?? 0
            let asked = Int.random(in: 100..<130, using: &random)
            let isRefused = refusal { try store.lock([Store.Key("\(asked)")]).release() } != nil
            #expect(isRefused == (asked <= bound), "\(asked) while \(kept.keys.sorted())")
        }
    }

    #if Async
    @Test func downwardsInATaskAndItsChildrenIsRefused() async throws {
        let store = try makeStore()
        func isRefused(_ key: Store.Key) async -> Bool {
            do {
                try await store.lock([key]).release()
                return false
            } catch {
                return (error as? StoreError)?.code == .wouldDeadlock
            }
        }
        try await store.withLock("b") {
            #expect(await isRefused("a"))
            #expect(await isRefused("b"))
            #expect(await !isRefused("c"))
            async let child = isRefused("a")
            #expect(await child)
            await withTaskGroup { group in
                group.addTask {
                    // A child's child.
                    async let grandchild = isRefused("a")
                    return await grandchild
                }
                for await refused in group { #expect(refused) }
            }
            // One that nobody waits for with the lock held.
            #expect(await Task.detached { await isRefused("a") }.value == false)
        }
        #expect(await !isRefused("a"))
        let held = try await store.lock(["b"])
        #expect(await isRefused("a"))
        held.release()
        #expect(await !isRefused("a"))
    }
    #endif
}
