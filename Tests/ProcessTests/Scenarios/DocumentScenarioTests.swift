import Glibc
import Synchronization
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// System D: a document platform with ordered locks, time-outs, quotas and tenants.
///
/// Each test is a row of docs/reference/scenarios.md. The platform's requests are threads of one program, its
/// instances processes.
@Suite(.ownThreads) struct DocumentScenarioTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    @Test func d1LocksInOppositeOrdersBothFinish() throws {
        let store = try Store(at: path)
        let inside = Atomic<Int>(0)
        let overlaps = Counter()
        let results = inThreads(2) { number in
            Result {
                for _ in 0..<500 {
                    try store.withLock(number == 0 ? "1" : "2", number == 0 ? "2" : "1") {
                        if inside.add(1, ordering: .sequentiallyConsistent).newValue != 1 {
                            overlaps.add(1)
                        }
                        inside.subtract(1, ordering: .sequentiallyConsistent)
                    }
                }
            }
        }
        for result in results { try result.get() }
        #expect(overlaps.value == 0)
    }

    /// How late the time-out is at most is in `flock-cache-bench timeouts`: a bound here would be one of the
    /// machine's.
    @Test func d2AWaitThatEndsLeavesNothing() throws {
        let (holder, rival) = (PeerProcess(path), try Store(at: path))
        #expect(holder.ask("lock x 0 b") == "held -")
        let start = BootTime.now
        let error = storeError { try rival.withLock("a", "b", wait: .upTo(.milliseconds(500))) {} }
        let waited = BootTime.now.nanoseconds - start.nanoseconds
        #expect(error?.code == .timedOut && error?.key == "b", "\(String(describing: error))")
        #expect(waited >= 500_000_000)
        // Of its attempt nothing is left: what it had got is free, and it is in no queue.
        #expect(holder.ask("drop-lock") == "done")
        #expect(holder.ask("lock x 0 a") == "held -")
        holder.kill()
        #expect(try rival.tryLock(["a", "b"]) != nil)
    }

    /// The times are in `flock-cache-bench scenarios`; here, that both sides get on and readers see no half.
    @Test func d4ReadersAndWriters() throws {
        let store = try Store(at: path)
        let isOver = Atomic<Bool>(false)
        let halves = Counter()
        let document = Document()
        let counts = inThreads(7) { number -> Result<Int, any Error> in
            Result {
                var count = 0
                if number < 2 {
                    for _ in 0..<100 {
                        try store.withLock("document") {
                            document.first.add(1, ordering: .relaxed)
                            yieldToOthers()
                            document.second.add(1, ordering: .relaxed)
                        }
                        count += 1
                    }
                    if number == 0 { isOver.store(true, ordering: .relaxed) }
                } else {
                    while !isOver.load(ordering: .relaxed) || count == 0 {
                        try store.withLock("document", mode: .shared) {
                            if !document.isWhole { halves.add(1) }
                        }
                        count += 1
                    }
                }
                return count
            }
        }
        #expect(try counts.allSatisfy { try $0.get() > 0 } && halves.value == 0)
        #expect(document.first.load(ordering: .relaxed) == 200)
    }

    @Test func d6AUniqueSlugHasOneCreator() throws {
        let gate = Gate(directory("gate"))
        let peers = (0..<10).map { _ in PeerProcess(path) }
        for peer in peers { #expect(peer.ask("gate \(gate.path)") == "done") }
        let answers = gate.release(peers) { _ in "race slug/hello-world" }
        #expect(answers.count { $0.hasPrefix("won ") } == 1, "\(answers)")
        #expect(answers.count { $0 == "pending" } == 9, "\(answers)")
    }

    @Test func d9APoolOfTwentyForAHundredTasks() throws {
        let store = try Store(at: path)
        let inside = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let results = inThreads(100) { _ in
            Result {
                try store.withLock("pool", mode: .slots(20)) {
                    let now = inside.add(1, ordering: .sequentiallyConsistent).newValue
                    most.max(now, ordering: .sequentiallyConsistent)
                    yieldToOthers()
                    inside.subtract(1, ordering: .sequentiallyConsistent)
                }
            }
        }
        for result in results { try result.get() }
        let found = most.load(ordering: .relaxed)
        #expect(1...20 ~= found, "\(found)")
        print("a pool of 20: at most \(found) inside")
    }

    /// The process's own memory, before and after.
    @Test func d11CreatingAndDeletingTakesNoMemory() throws {
        let peer = PeerProcess(path)
        #expect(peer.ask("create-delete 200") == "done")
        let before = residentKiB(peer.process.id)
        #expect(peer.ask("create-delete 1000") == "done")
        let grown = residentKiB(peer.process.id) - before
        print("1,000 times created and deleted: \(grown) KiB more")
        #expect(before > 0 && grown < 1024)
        peer.exit()
    }

    private func residentKiB(_ process: pid_t) -> Int {
        let text = String(decoding: contents(of: "/proc/\(process)/status") ?? [], as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }

    @Test func d12EachTenantSeesItsOwn() throws {
        let store = try Store(at: path)
        let results = inThreads(10) { tenant in
            Result {
                for user in 0..<10 {
                    for document in 0..<5 {
                        let key = Store.Key("tenant-\(tenant)/user-\(user)/\(document)")
                        _ = try store.claimAndFinalize(key, "of \(tenant)".utf8)
                    }
                }
            }
        }
        for result in results { try result.get() }
        for tenant in 0..<10 {
            var count = 0
            var entries = try store.entries(prefix: Store.Key("tenant-\(tenant)/"))
            while let entry = try entries.next() {
                #expect(try store.bytes(of: entry.key) == Array("of \(tenant)".utf8))
                count += 1
            }
            #expect(count == 50)
        }
    }
}

/// Two numbers that a writer makes equal again before it releases the lock.
private final class Document: Sendable {
    let first = Atomic<Int>(0)
    let second = Atomic<Int>(0)

    var isWhole: Bool { first.load(ordering: .relaxed) == second.load(ordering: .relaxed) }
}
