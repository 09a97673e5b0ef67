import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Values that are set without a claim.
@Suite(.ownThreads) struct PutTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    private func generation(_ result: UpdateResult) throws -> Store.Generation {
        guard case .updated(let entry) = result else { throw Unexpected("\(result)") }
        return entry.generation
    }

    private func isUnchanged(_ result: UpdateResult, _ value: [UInt8]?) -> Bool {
        guard case .unchanged(let entry) = result else { return false }
        return entry?.value.copied == value
    }

    private func isPending(_ result: UpdateResult) -> Bool {
        if case .pending = result { true } else { false }
    }

    @Test(arguments: [0, 5, 65_536, 65_537, 1_000_000])
    func aValueComesBackAsItWasSetAndItsGenerationRises(size: Int) throws {
        let store = try Store(at: path)
        var last: Store.Generation = 0
        for seed in 0..<3 {
            let value = pattern(size, seed)
            let result = try store.put(value, for: "key")
            let set = try generation(result)
            #expect(set > last)
            last = set
            let entry = try #require(try store.entry(for: "key"))
            #expect(entry.generation == set && entry.value.copied == value)
            #expect(entry.age < .seconds(60))
        }
        #expect(leftovers(in: path).filter { $0 != ".flock-cache" } == [])
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(try store.counts().ready == 1)
    }

    @Test(arguments: [10, 100_000])
    func aPreconditionThatDoesNotHoldChangesNothing(size: Int) throws {
        let store = try Store(at: path)
        let (first, second) = (pattern(size, 1), pattern(size, 2))
        #expect(isUnchanged(try store.put(second, for: "key", if: .generation(7)), nil))
        #expect(access(path, F_OK) != 0, "asking makes no store")
        let set = try generation(try store.put(first, for: "key", if: .absent))
        for precondition in [.absent, Store.Precondition.generation(set + 1), .generation(set - 1)]
        {
            #expect(isUnchanged(try store.put(second, for: "key", if: precondition), first))
        }
        #expect(try store.entry(for: "key")?.generation == set)
        let next = try generation(try store.put(second, for: "key", if: .generation(set)))
        #expect(next > set)
        #expect(isUnchanged(try store.put(first, for: "key", if: .generation(set)), second))
        #expect(leftovers(in: path) == [])
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    @Test func aClaimThatStandsIsLeftAlone() throws {
        let (store, other) = (try Store(at: path), try Store(at: path))
        let claim = try #require(try other.win("key"))
        for size in [10, 100_000] {
            #expect(isPending(try store.put(pattern(size), for: "key")))
            #expect(isPending(try store.put(pattern(size), for: "key", if: .absent)))
        }
        #expect(try store.increment("key").isPending)
        try claim.finalize("value".utf8)
        #expect(try store.bytes(of: "key") == Array("value".utf8))
        // Also where it is being computed anew.
        let anew = try #require(try other.win("key", maxAge: .zero))
        #expect(isPending(try store.put("new".utf8, for: "key")))
        #expect(try store.bytes(of: "key") == Array("value".utf8))
        try anew.abandon()
        _ = try generation(try store.put("new".utf8, for: "key"))
        #expect(leftovers(in: path) == [])
    }

    @Test func aStaleClaimDoesNotCountAndItsLateHolderIsTold() throws {
        let (store, other) = (try Store(at: path), try Store(at: path))
        // Its time is over, though its holder lives.
        let late = try #require(try other.win("key", staleAfter: .zero))
        let set = try generation(try store.put("put".utf8, for: "key", if: .absent))
        #expect(set > late.generation)
        #expect(storeError { try late.finalize("late".utf8) }?.code == .claimLost)
        #expect(try store.bytes(of: "key") == Array("put".utf8))
        // Its holder is dead.
        leaveStaleClaim("dead", in: path)
        #expect(try store.increment("dead") == .incremented(1))
        #expect(leftovers(in: path) == [])
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    /// A value that was put is nobody's claim: who finalizes without naming a generation must not be told that it
    /// was published.
    @Test func aValueThatWasPutIsNoEndOfAClaim() throws {
        let store = try Store(at: path)
        for setting in 0..<2 {
            let key = Store.Key("key-\(setting)")
            if setting == 0 {
                _ = try store.put("value".utf8, for: key)
            } else {
                try store.increment(key)
            }
            let own = try #require(try ProcessIdentity(of: getpid()))
            let error = storeError {
                let value = Array("mine".utf8)
                try value.withUnsafeBytes {
                    _ = try store.session.finalize(key, by: .owner([own]), .bytes($0))
                }
            }
            #expect(error?.code == .claimLost)
        }
    }

    @Test func aDamagedValueIsSetAsideAndReported() throws {
        let told = Counter()
        var configuration = Store.Configuration()
        configuration.onDamage = { _, kept in told.add(kept == nil ? 1000 : 1) }
        let store = try Store(at: path, configuration: configuration)
        for (index, size) in [5, 100_000].enumerated() {
            _ = try store.put("old".utf8, for: "key")
            let file = try file(of: "key", in: path)
            write(Array((contents(of: file) ?? []).dropLast(4)), to: file)
            let result = try store.put(pattern(size), for: "key", if: .absent)
            _ = try generation(result)
            #expect(told.value == index + 1)
            #expect(try store.counts().damaged == index + 1)
            #expect(try store.bytes(of: "key") == pattern(size))
            try store.remove("key")
        }
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    @Test func waitersAreWokenByAPut() throws {
        let (store, other) = (try Store(at: path), try Store(at: path))
        let waiting = store.waitInThread("key", alsoAbsent: true)
        #expect(waiting.waitForSleep())
        _ = try other.put("value".utf8, for: "key")
        #expect(try waiting.result() == .ready(Array("value".utf8)))
        let counting = store.waitInThread("number", alsoAbsent: true)
        #expect(counting.waitForSleep())
        try other.increment("number", by: 7)
        #expect(try counting.result() == .ready(Array("7".utf8)))
        // A stale claim whose holder lives: who waits for its end is told of the value that took its place.
        let late = try #require(try other.win("late", staleAfter: .milliseconds(300)))
        let claiming = store.claimInThread("late")
        #expect(claiming.waitForSleep())
        while case .pending = try other.put("value".utf8, for: "late") { yieldToOthers() }
        let told = try claiming.result()
        #expect(told == .ready(Array("value".utf8)) || told.isWon)
        #expect(storeError { try late.finalize("late".utf8) }?.code == .claimLost)
    }

    /// In a copy of the store by hard links what is written in place would change the original too.
    @Test func countingInACopyByHardLinksLeavesTheOriginalAlone() throws {
        let store = try Store(at: path)
        try store.increment("key", by: 5)
        try store.increment("key")
        let copied = run(
            "cp", ["-al", path, directory("copy")], environment: ["PATH": "/usr/bin:/bin"])
        #expect(copied.code == 0, "\(copied)")
        let copy = try Store(at: directory("copy"))
        #expect(try copy.increment("key", by: 100) == .incremented(106))
        #expect(try store.bytes(of: "key") == Array("6".utf8))
        #expect(try store.increment("key") == .incremented(7))
        #expect(try copy.increment("key") == .incremented(107))
    }

    @Test func aCopiedStoreCountsOn() throws {
        let store = try Store(at: path)
        try store.increment("key", by: 5)
        let copied = run(
            "cp", ["-a", path, directory("copy")], environment: ["PATH": "/usr/bin:/bin"])
        #expect(copied.code == 0, "\(copied)")
        let copy = try Store(at: directory("copy"))
        #expect(try copy.increment("key") == .incremented(6))
        #expect(try store.bytes(of: "key") == Array("5".utf8))
        #expect(Tally(try copy.counts()) == Tally(filesOf: directory("copy")))
    }
}

extension Store.IncrementResult {
    var isPending: Bool { if case .pending = self { true } else { false } }
}
