import Foundation
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// What makes the library pleasant to hold: conversions, descriptions, and guards that may be released twice.
@Suite(.ownThreads) struct SurfaceTests {
    private let directory = TemporaryDirectory()

    private func makeStore() throws -> Store { try Store(at: directory("store")) }

    @Test func keysAreMadeOfStrings() throws {
        let store = try makeStore()
        let name = "b"
        try store.put([1], for: "a/\(name)")
        #expect(try store.entry(for: Store.Key("a/b"))?.value.count == 1)
        #expect(try store.entry(for: "xa/b".dropFirst())?.value.count == 1)
        #expect(Store.Key("a/\(name)") == Store.Key([0x61, 0x2f, 0x62]))
    }

    @Test func locksAreReleasedOnceFromAnyThread() throws {
        let (store, other) = (try makeStore(), try makeStore())
        for _ in 0..<100 {
            let box = Box(try store.lock("a", "b"))
            let threads = (0..<4).map { index in
                startThread {
                    if index % 2 == 0 { box.lock.release() } else { _ = box.lock.isLost }
                }
            }
            for thread in threads { pthread_join(thread, nil) }
            box.lock.release()
            let isLost = box.lock.isLost
            #expect(!isLost)
            let isFree = try other.lockIfAvailable(["a", "b"]) != nil
            #expect(isFree)
        }
    }

    /// A second release must not release what has been taken since.
    @Test func aSecondReleaseReleasesNothing() throws {
        let (store, other) = (try makeStore(), try makeStore())
        let first = try store.lock("key")
        first.release()
        let second = try store.lock("key")
        first.release()
        let isFree = try other.lockIfAvailable("key") != nil
        #expect(!isFree)
        second.release()
        let lease = try store.acquireLease("key", timeToLive: .seconds(600))
        try lease.release()
        let newer = try store.acquireLease("key", timeToLive: .seconds(600))
        try lease.release()
        #expect(try store.isCurrent(newer.generation, ofLease: "key"))
    }

    @Test func valuesAreComparedAndPrinted() throws {
        let store = try makeStore()
        let large = [UInt8](repeating: 0x61, count: 1 << 20)
        for bytes in [[], [0x61, 0x62], [0xff], large] {
            try store.put(bytes, for: "key")
            let entry = try #require(try store.entry(for: "key"))
            #expect([UInt8](entry.value) == bytes)
            let again = try store.entry(for: "key")?.value
            #expect(entry.value == again)
            #expect(Set([entry.value]).contains(entry.value))
            #expect(String(entry.value) == String(decoding: bytes, as: UTF8.self))
            let text = String(validating: bytes, as: UTF8.self) ?? "<1 bytes>"
            #expect(entry.value.description == text)
        }
        try store.put([1], for: "other")
        let (one, other) = (
            try store.entry(for: "other")?.value, try store.entry(for: "key")?.value
        )
        #expect(one != other)
    }

    @Test func foundationShowsTheMessageOfAnError() throws {
        let store = try makeStore()
        let error = #expect(throws: StoreError.self) { try store.put([], for: "") }
        let text = try #require(error).description
        #expect((error as (any Error)?)?.localizedDescription.contains(text) == true)
    }

    @Test func aTildeIsRefused() throws {
        for path in ["~", "~/store", "~user/store"] {
            let error = #expect(throws: StoreError.self) { try Store(at: path) }
            #expect(error?.code == .badConfiguration)
            #expect(error?.description.contains("'~' is not expanded") == true)
        }
        // Any bytes are a path.
        let bytes = Array(directory("store-").utf8) + [0xff]
        try Store(at: bytes).put([1], for: "key")
        #expect(try Store(at: bytes).entry(for: "key") != nil)
    }

    @Test func resultsNeedNoSwitch() throws {
        let (store, other) = (try makeStore(), try makeStore())
        guard let claim = try store.claimIfAvailable("key") else {
            Issue.record("it is claimed")
            return
        }
        let isPending = try other.claimIfAvailable("key") == nil
        #expect(isPending)
        let holder = try other.claim("key").holder
        #expect(holder?.processID == getpid())
        try claim.finalize([1])
        let result = try other.claim("key")
        let (entry, nobody) = (result.entry, result.holder)
        #expect(entry?.value.count == 1)
        #expect(nobody == nil)
        let isReady = try other.claimIfAvailable("key") == nil
        #expect(isReady)
    }
}

private final class Box: Sendable {
    let lock: Store.HeldLock

    init(_ lock: consuming Store.HeldLock) { self.lock = lock }
}
