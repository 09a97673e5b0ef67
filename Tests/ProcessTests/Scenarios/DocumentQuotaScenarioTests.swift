import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// System D again: versions, quotas, permits, bulk changes and work that instances share.
///
/// Each test is a row of docs/reference/scenarios.md.
@Suite(.ownThreads) struct DocumentQuotaScenarioTests {
    private let stage = Stage()
    private var path: String { stage.store }

    /// Has so many threads begin at once; what they throw ends the test.
    private func threads<R: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Int) throws -> R
    ) throws -> [R] {
        let barrier = Barrier(count)
        return try inThreads(count) { number in
            barrier.wait()
            return Result { try body(number) }
        }.map { try $0.get() }
    }

    @Test func d3OfFiveOptimisticUpdatesOneSucceeds() throws {
        let store = try Store(at: path)
        for round in 0..<20 {
            let key = Store.Key("document-\(round)")
            guard case .updated(let read) = try store.put("as it was".utf8, for: key) else {
                throw Unexpected("somebody has \(key)")
            }
            let results = try threads(5) { user in
                try store.put("by \(user)".utf8, for: key, if: .generation(read.generation))
            }
            var (written, moved): ([Entry], [Entry]) = ([], [])
            for result in results {
                switch result {
                case .updated(let entry): written.append(entry)
                case .unchanged(let entry?): moved.append(entry)
                default: Issue.record("\(result)")
                }
            }
            let now = try #require(try store.entry(for: key))
            try #require(written.count == 1 && moved.count == 4)
            #expect(now.generation == written[0].generation && now.generation > read.generation)
            #expect(now.value.copied == written[0].value.copied)
            #expect(moved.allSatisfy { $0.generation == now.generation })
        }
    }

    @Test func d5CreditsAreNotSpentTwice() throws {
        let store = try Store(at: path)
        for round in 0..<50 {
            let account = Store.Key("account-\(round)")
            try store.increment(account, by: 100)
            let spent = try threads(2) { _ in
                try store.increment(account, by: -60, within: 0 ... .max)
            }
            #expect(spent.contains(.incremented(40)) && spent.contains(.outOfRange(40)), "\(spent)")
            #expect(try store.bytes(of: account) == Array("40".utf8))
        }
    }

    @Test func d7AHundredThreadsCountToAHundred() throws {
        let store = try Store(at: path)
        let numbers = try threads(100) { _ in try store.increment("views") }
        #expect(Set(numbers) == Set((1...100).map { .incremented($0) }))
        #expect(try store.bytes(of: "views") == Array("100".utf8))
    }

    @Test func d7AHundredProcessesCountToAHundred() {
        let children = (0..<100).map { _ in
            Child(
                builtProducts + "/flock-cache", ["increment", "views"],
                environment: stage.variables)
        }
        let numbers = children.map { $0.outcome().text }
        #expect(Set(numbers) == Set((1...100).map { "\($0)\n" }))
        #expect(stage.run("get", "views").text == "100")
    }

    /// An instance that is killed gives its permit back by that.
    @Test func d8FiftyPermitsForSixty() {
        let peers = (0..<60).map { _ in PeerProcess(path) }
        let gate = Gate(stage.directory("gate"))
        for peer in peers { #expect(peer.ask("gate \(gate.path)") == "done") }
        let answers = gate.release(peers) { _ in "race-lock 50 0 stock" }
        #expect(answers.count { $0.hasPrefix("held ") } == 50, "\(answers)")
        #expect(answers.count { $0 == "error timedOut" } == 10, "\(answers)")
        #expect(Set(answers).count == 51, "a permit was given twice: \(answers)")
        let served = zip(peers, answers).filter { $1.hasPrefix("held ") }.map(\.0)
        let refused = zip(peers, answers).filter { $1 == "error timedOut" }.map(\.0)
        for peer in served.prefix(5) { peer.kill() }
        let again = refused.map { $0.ask("lock 50 0 stock") }
        #expect(again.count { $0.hasPrefix("held ") } == 5, "\(again)")
        #expect(again.count { $0 == "error timedOut" } == 5, "\(again)")
        for peer in served.dropFirst(5) + refused { peer.kill() }
    }

    /// The times are in `flock-cache-bench scenarios`.
    @Test func d10BulkChangesWithTheLibrary() throws {
        let store = try Store(at: path)
        let documents = (0..<1000).map { Store.Key("document-\($0)") }
        for key in documents { #expect(try store.claimAndFinalize(key, "first".utf8).isWon) }
        #expect(try store.counts().ready == 1000)
        for key in documents {
            let result = try store.update(key) { entry in (entry?.value.copied ?? []) + [33] }
            guard case .updated = result else { throw Unexpected("\(key): \(result)") }
        }
        for key in documents.prefix(500) { #expect(try store.remove(key)) }
        #expect(try store.counts().ready == 500)
        #expect(try store.bytes(of: "document-999") == Array("first!".utf8))
        #expect(try store.bytes(of: "document-499") == nil)
    }

    /// Three processes in place of 2,500.
    @Test func d10BulkChangesWithTheCommand() {
        let script = """
            set -o pipefail
            pairs() { seq 1000 | sed "s/.*/document-&\\x00$1\\x00/" | tr -d '\\n'; }
            pairs first | flock-cache put --null --if-absent | cut -f1 | uniq -c &&
            pairs second | flock-cache put --null | cut -f1 | uniq -c &&
            pairs third | flock-cache put --null --if-absent | cut -f1 | uniq -c
            echo "code $?"
            flock-cache remove $(seq -f document-%g 500) && flock-cache stats && flock-cache get document-501
            """
        let outcome = stage.script(script)
        let lines = outcome.text.split(separator: "\n").map { $0.drop { $0 == " " } }
        #expect(
            lines.prefix(6) == [
                "1000 ready", "1000 ready", "1000 unchanged", "code 1", "pending 0", "ready 500",
            ], "\(outcome)")
        #expect(lines.last == "second" && outcome.error.isEmpty, "\(outcome)")
    }

    /// One at a time, in the order in which they ask, so each instance has its share.
    @Test func d13FiveInstancesShareFiveHundredRequests() throws {
        let store = try Store(at: path)
        let held = KeptLock(try store.lock(["requests"]))
        let instances = (0..<5).map { _ in PeerProcess(path) }
        for instance in instances { instance.process.tell("share 500 4") }
        // None begins before all of them ask.
        #expect(waitUntil { (try? store.bytes(of: "asked")) == Array("5".utf8) })
        held.release()
        let answers = instances.map { $0.process.line() ?? "" }
        let shares = answers.compactMap { Int($0.dropFirst("shared ".count)) }
        print("500 requests, shared by five: \(shares)")
        #expect(shares.reduce(0, +) == 500 && shares.count == 5, "\(answers)")
        #expect(shares.allSatisfy { 95...105 ~= $0 }, "\(shares)")
        // Each once, and by whom it is said to be.
        for (instance, share) in zip(instances, shares) {
            let own = Array("\(instance.process.id)".utf8)
            let filed = try (1...500).count {
                try store.bytes(of: Store.Key("request/\($0)")) == own
            }
            #expect(filed == share)
        }
        for instance in instances { instance.kill() }
    }
}
