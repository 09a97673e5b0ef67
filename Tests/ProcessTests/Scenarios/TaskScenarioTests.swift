import Synchronization
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// System C: a provider of task stores, with listeners.
///
/// Its callers are threads and other programs. Each test is a row of docs/reference/scenarios.md. The other programs are docs/examples/tasks.
@Suite(.ownThreads) struct TaskScenarioTests {
    private let stage = Stage()

    /// A name of the database for each caller: compared without case, they are one.
    private static let spellings = ["Orders", "orders", "ORDERS", "oRDERs"]

    private func database(_ caller: Int) -> String { Self.spellings[caller % 4] }

    /// What the callers of the provider do, in threads.
    private func inTenThreads<R: Sendable>(
        _ body: @escaping @Sendable (Int) throws -> R
    ) throws -> [R] {
        let barrier = Barrier(10)
        return try inThreads(10) { number in
            barrier.wait()
            return Result { try body(number) }
        }.map { try $0.get() }
    }

    /// Gets the store of a database, or creates it; true if this caller has created it.
    private static func getOrCreate(_ store: Store, _ database: String) throws -> Bool {
        var isCreator = false
        _ = try store.computeIfAbsent(Store.Key("database/" + database.lowercased())) {
            isCreator = true
            return [UInt8]()
        }
        return isCreator
    }

    private func plain(_ key: Store.Key) -> String { String(decoding: key.bytes, as: UTF8.self) }

    private func tasks(_ store: Store) throws -> [Store.Key] {
        var keys: [Store.Key] = []
        var entries = try store.entries(prefix: "task/")
        while let entry = try entries.next() { keys.append(entry.key) }
        return keys
    }

    private func run(_ round: Int) throws {
        let store = try Store.telling(at: stage.directory("round-\(round)"))
        let creators = try inTenThreads { number in
            let isCreator = try Self.getOrCreate(store, self.database(number))
            try store.put("by \(number)".utf8, for: Store.Key("task/orders/\(number)/job"))
            return isCreator
        }
        try #require(creators.count(where: \.self) == 1)
        try #require(Set(try tasks(store)).count == 10)
        let texts = (0..<10).map { pattern(3000, $0) }
        let written = try inTenThreads { number in
            try Self.write(texts[number], to: "task/orders/user/same", in: store)
        }
        try #require(Set(try tasks(store)).count == 11)
        // The last write wins.
        let last = try #require(written.indices.max { written[$0] < written[$1] })
        try #require(try store.bytes(of: "task/orders/user/same") == texts[last])
        let told = try store.allChanges().filter { $0.event == .put }
        try #require(told.count == 20)
        let same = told.filter { $0.key == "task/orders/user/same" }.map(\.generation)
        try #require(same == written.sorted())
    }

    private static func write(
        _ text: [UInt8], to key: Store.Key, in store: Store
    ) throws -> Store.Generation {
        guard case .updated(let entry) = try store.put(text, for: key) else {
            throw Unexpected("somebody has \(key)")
        }
        return entry.generation
    }

    @Test func c1TenThreadsGetOrCreateOneStore() throws {
        let store = try Store(at: stage.store)
        let creators = try inTenThreads { number in
            let isCreator = try Self.getOrCreate(store, self.database(number))
            try store.put("by \(number)".utf8, for: Store.Key("task/orders/\(number)/job"))
            return isCreator
        }
        #expect(creators.count(where: \.self) == 1)
        #expect(try tasks(store).count == 10)
        #expect(try store.counts().ready == 11)
    }

    @Test func c1TenProcessesGetOrCreateOneStore() throws {
        let gate = Gate(stage.directory("gate"))
        let children = (0..<10).map { number in
            stage.start(
                "flock -s \(gate.path) true; "
                    + "exec example-tasks $FLOCK_CACHE_DIR put \(database(number)) user-\(number) job \(number)"
            )
        }
        gate.open()
        let outcomes = children.map { $0.finish() }
        #expect(outcomes.allSatisfy { $0.code == 0 }, "\(outcomes)")
        let listed = stage.script("example-tasks $FLOCK_CACHE_DIR list orders | sort").text
        #expect(
            listed == (0..<10).map { "task/orders/user-\($0)/job \($0)\n" }.joined(), "\(listed)")
        // One of them has created it.
        let changes = try Store(at: stage.store).events(of: "database/orders")
        #expect(changes == ["claimed", "finalized"])
    }

    /// Ten threads and ten programs store the same task; readers see one whole text after the other.
    @Test func c2TheLastWriteOfOneTaskWinsWhole() throws {
        let store = try Store.telling(at: stage.store)
        let key: Store.Key = "task/orders/user/job"
        let texts = (0..<20).map { String(repeating: "\($0) ", count: 3000) }
        let isOver = Atomic<Bool>(false)
        let reader = WaitingThread { _ in
            var (seen, halves) = (0, 0)
            while !isOver.load(ordering: .acquiring) || seen == 0 {
                guard let found = try store.bytes(of: key) else { continue }
                seen += 1
                if !texts.contains(String(decoding: found, as: UTF8.self)) { halves += 1 }
            }
            return halves
        }
        for index in 10..<20 {
            TestSupport.write(texts[index].utf8, to: stage.directory("\(index)"))
        }
        let children = (10..<20).map { index in
            stage.start(
                "example-tasks $FLOCK_CACHE_DIR put Orders user job \"$(cat $WORK/\(index))\"")
        }
        var written = try inTenThreads { number in
            try Self.write(Array(texts[number].utf8), to: key, in: store)
        }
        written += children.map { $0.finish().generation ?? 0 }
        isOver.store(true, ordering: .releasing)
        #expect(try reader.result() == 0)
        #expect(Set(written).count == 20 && !written.contains(0), "\(written)")
        let last = try #require(written.indices.max { written[$0] < written[$1] })
        #expect(try store.bytes(of: key) == Array(texts[last].utf8))
        #expect(try tasks(store) == [key])
    }

    /// A listener of this program and one of another, and stores of both.
    @Test func c3AListenerSeesEveryChangeOnceInOrder() async throws {
        let store = try Store.telling(at: stage.store)
        let listener = Task {
            var seen: [(key: Store.Key, generation: Store.Generation, position: UInt64)] = []
            for try await change in store.changes(prefix: "task/orders/", from: 1) {
                seen.append((change.key, change.generation, change.position))
                if seen.count == 20 { break }
            }
            return seen
        }
        let other = stage.start("exec example-tasks $FLOCK_CACHE_DIR listen ORDERS 20 1")
        // Ten stores of ten keys by two programs, and then ten of one key.
        let children = (0..<5).map { number in
            stage.start("example-tasks $FLOCK_CACHE_DIR put orders user-\(number) job x")
        }
        for number in 5..<10 {
            _ = try Self.write([], to: Store.Key("task/orders/user-\(number)/job"), in: store)
        }
        for child in children { #expect(child.finish().code == 0) }
        let same = try (0..<10).map { _ in
            try Self.write([], to: "task/orders/same/job", in: store)
        }
        let seen = try await listener.value
        let keys = seen.prefix(10).map(\.key)
        #expect(Set(keys) == Set((0..<10).map { Store.Key("task/orders/user-\($0)/job") }))
        #expect(seen.suffix(10).map(\.generation) == same)
        #expect(seen.map(\.position) == seen.map(\.position).sorted())
        let lines = other.finish().text
        #expect(
            lines == seen.map { "\($0.position) \(plain($0.key)) \($0.generation)\n" }.joined(),
            "\(lines)"
        )
    }

    /// The three above, a hundred times in a row.
    @Test func c4TheRunAHundredTimes() throws {
        for round in 0..<100 { try run(round) }
    }

    /// All scenarios of the five systems a hundred times, and once more while every processor is busy.
    @Test(.enabled(if: wantsLongTests, "FLOCK_CACHE_LONG_TESTS=1"))
    func c4AllScenariosAHundredTimes() {
        let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        let runs = stage.script("/\(root)/.ci/scenarios 100")
        #expect(runs.code == 0, "\(runs)")
        #expect(runs.text.split(separator: "\n").count == 101, "\(runs)")
    }
}
