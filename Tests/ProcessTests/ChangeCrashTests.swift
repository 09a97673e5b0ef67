import Glibc
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// Commands of a store that tells of its changes, killed at every system call: each change is told once, by whoever
/// comes next.
@Suite(.ownThreads) struct ChangeCrashTests {
    /// What each command makes before it has opened the store is the same for all: in the short form one call in
    /// `step` is met, others in each run, and of those of the change itself.
    private func calls(
        _ bench: FaultBench, _ operation: Operation, step: Int = 1
    ) throws -> [Int] {
        let count = try bench.countCalls(of: operation)
        if wantsLongTests { return Array(1...count + 1) }
        // A pass goes on to other shards behind its change.
        let first = operation.isHousekeeping ? 1 : max(1, count - 44)
        return Array(stride(from: first + Int.random(in: 0..<step), to: count + 2, by: step))
    }

    private func check(_ bench: FaultBench, _ what: String) throws {
        let changes = try bench.store.allChanges()
        #expect(flaw(in: changes) == nil, "\(what)")
        let (told, listed) = (Replay(changes), try Replay(listing: bench.store))
        if told != listed { Issue.record("\(what): told \(told), there is \(listed)") }
    }

    /// Who comes next in the shard, in turn.
    private func comeNext(_ bench: FaultBench, _ number: Int) throws {
        switch number % 4 {
        // Another key than those of the commands: a claim of what is held takes no mutex.
        case 0: _ = try bench.store.win(bench.spareKey(number + 50))
        case 1: _ = try bench.store.counts()
        case 2: _ = try ChangeWatch(bench.store.session, prefix: nil, from: nil).goRound()
        default: #expect(bench.run(["--store", bench.path, "reap"], fault: "").code == 0)
        }
    }

    /// A reaper goes through many shards: in the short form `KilledChangeTests` and `changes.py` are for what it does.
    @Test(
        arguments: (Operation.all + Operation.someValues).filter {
            !$0.isHousekeeping || wantsLongTests
        })
    func whatAKilledCommandHasChangedIsToldOnce(_ operation: Operation) throws {
        let bench = try FaultBench(telling: true)
        var untold = 0
        for number in try calls(bench, operation, step: 2) {
            let (key, old, arguments) = try bench.prepare(operation)
            let before = try bench.store.allChanges().count
            let outcome = bench.run(arguments, fault: "\(number):KILL")
            let new = try bench.state(of: key)
            let what = "call \(number): \(old) → \(new), \(outcome.ending)"
            if new != old, try bench.store.allChanges().count == before { untold += 1 }
            // Another shard tells between, so that the last record is not what was noted.
            _ = try bench.store.claimAndFinalize(Store.Key("elsewhere-\(number)"), [])
            try comeNext(bench, number)
            try check(bench, what)
        }
        print("left \(untold) changes to tell: \(operation.testDescription)")
        #expect(untold > 0, "the matrix met the change")
    }

    /// Killed while it tells for another, and again at the same call.
    @Test(arguments: [Operation.claimFresh, .removeBoth])
    func whoIsKilledWhileTellingForAnotherLeavesItToTheNext(_ operation: Operation) throws {
        let bench = try FaultBench(telling: true)
        let last = try #require(
            try calls(bench, operation).last { number in
                let (key, old, arguments) = try bench.prepare(operation)
                let before = try bench.store.allChanges().count
                _ = bench.run(arguments, fault: "\(number):KILL")
                let isLeft =
                    try bench.state(of: key) != old
                    && bench.store.allChanges().count == before
                _ = try bench.store.counts()
                return isLeft
            })
        var killed = 0
        var random = Seeded("killed while telling for another")
        let step = wantsLongTests ? 1 : 3
        let first = (wantsLongTests ? 1 : 30) + Int.random(in: 0..<step, using: &random)
        for number in stride(from: first, to: 5000, by: step) {
            let (_, _, arguments) = try bench.prepare(operation)
            _ = bench.run(arguments, fault: "\(last):KILL")
            let next = ["--store", bench.path, "claim", "\(bench.spareKey(number))"]
            let owner = ["--owner", "\(bench.owner.id)"]
            let first = bench.run(next + owner, fault: "\(number):KILL")
            let second = bench.run(next + owner, fault: "\(number):KILL")
            _ = try bench.store.claimAndFinalize(Store.Key("elsewhere-\(number)"), [])
            try comeNext(bench, number)
            try check(bench, "killed at \(last), \(number) and \(number): \(second)")
            killed += second.ending == .signal(SIGKILL) ? 1 : 0
            let ends = [first.ending, second.ending]
            if !ends.contains(.signal(SIGKILL)) { break }
        }
        print("killed at \(killed) calls while telling for another: \(operation.testDescription)")
        #expect(killed * step > 10)
    }

    @Test(
        arguments: (Operation.all + Operation.someValues).filter {
            !$0.isHousekeeping || wantsLongTests
        }, wantsLongTests ? [28, 5, 24] : [28])
    func aChangeOfACommandThatFailsIsToldIfItHappened(
        _ operation: Operation, errno: Int32
    ) throws {
        let bench = try FaultBench(telling: true)
        for number in try calls(bench, operation, step: 4) {
            let (key, old, arguments) = try bench.prepare(operation)
            let outcome = bench.run(arguments, fault: "\(number):\(errno)")
            let new = try bench.state(of: key)
            try comeNext(bench, number)
            try check(bench, "call \(number): \(old) → \(new), \(outcome)")
        }
    }

    // MARK: Other stores

    /// What a store costs that does not tell: the calls of each command before there was any journal of changes, and
    /// two more, because the names of files with sessions are random.
    @Test func aStoreThatDoesNotTellCostsNoCallMore() throws {
        let stage = Stage()
        var variables = stage.variables
        variables["FLOCK_CACHE_OWNER"] = "\(getpid())"
        stage.publish("x", "value")
        let table: [(prepare: String, words: [String], most: Int)] = [
            ("flock-cache remove --pending k", ["claim", "k"], 34),
            ("flock-cache remove --pending k; flock-cache claim k", ["finalize", "k", "v"], 38),
            ("flock-cache remove --pending k; flock-cache claim k", ["abandon", "k"], 36),
            ("flock-cache put k v", ["remove", "k"], 36),
            ("flock-cache put k v", ["put", "k", "w"], 42),
            ("true", ["increment", "n"], 27), ("true", ["get", "x"], 15),
            ("sleep 0.002", ["lease", "acquire", "l", "--ttl", "1ms"], 36),
        ]
        func prepare(_ script: String) {
            let words = "unset FLOCK_CACHE_FAULT; \(script)"
            _ = run("sh", ["-c", words], environment: variables)
        }
        // Directories are made by the first of each.
        for (script, words, _) in table {
            prepare(script)
            _ = run(builtProducts + "/flock-cache", words, environment: variables)
        }
        for (script, words, most) in table {
            prepare(script)
            // Killed at a later call it ends by itself.
            variables["FLOCK_CACHE_FAULT"] = "\(most + 3):KILL"
            let outcome = run(builtProducts + "/flock-cache", words, environment: variables)
            #expect(outcome.code == 0, "\(words): \(outcome)")
        }
    }

    // MARK: Leases

    struct LeaseChange: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// Returns the generation that the command is given.
        let prepare: @Sendable (Store, Store.Key) throws -> Store.Generation
        let arguments: @Sendable (Store.Key, Store.Generation) -> [String]

        static let all = [
            LeaseChange(
                testDescription: "acquire", prepare: { _, _ in 0 },
                arguments: { key, _ in ["lease", "acquire", "\(key)", "--ttl", "1h"] }),
            LeaseChange(
                testDescription: "acquire what is over", prepare: prepareOver,
                arguments: { key, _ in ["lease", "acquire", "\(key)", "--ttl", "1h"] }),
            LeaseChange(
                testDescription: "release", prepare: grant,
                arguments: { key, generation in
                    ["lease", "release", "\(key)", "--generation", "\(generation)"]
                }),
            LeaseChange(
                testDescription: "renew what has expired",
                prepare: { store, key in
                    let generation = try prepareOver(store, key)
                    _ = try store.session.expireLease(try EntryName(key), patience: .seconds(10))
                    return generation
                },
                arguments: { key, generation in
                    ["lease", "renew", "\(key)", "--generation", "\(generation)"]
                }),
            LeaseChange(
                testDescription: "reap what is over", prepare: prepareOver,
                arguments: { _, _ in ["reap"] }),
        ]

        private static func grant(_ store: Store, _ key: Store.Key) throws -> Store.Generation {
            try grant(store, key, .seconds(3600))
        }

        private static func prepareOver(
            _ store: Store, _ key: Store.Key
        ) throws -> Store.Generation {
            let generation = try grant(store, key, .microseconds(1))
            guard waitUntil({ (try? store.isCurrent(generation, ofLease: key)) == false }) else {
                throw Unexpected("it is over")
            }
            return generation
        }

        private static func grant(
            _ store: Store, _ key: Store.Key, _ timeToLive: Duration
        ) throws -> Store.Generation {
            let request = LeaseRequest(timeToLive: timeToLive, processID: getpid(), command: [])
            guard
                case .granted(let grant) = try store.session.acquireLease(
                    key, request, waiting: .zero, whileWaiting: { _, _ in })
            else { throw Unexpected("it is free") }
            return grant.generation
        }
    }

    @Test(arguments: LeaseChange.all)
    func whatAKilledCommandDidToALeaseIsToldOnce(_ change: LeaseChange) throws {
        let bench = try FaultBench(telling: true)
        var endings: Set<String> = []
        // Behind the last call that a command makes before its own; of a reaper's hundreds a few, others in each run.
        var random = Seeded("killed in \(change.testDescription)")
        let isReaper = change.arguments("", 0) == ["reap"]
        let step = isReaper && !wantsLongTests ? 12 : 1
        let first = (wantsLongTests ? 1 : 30) + Int.random(in: 0..<step, using: &random)
        for number in stride(from: first, to: 5000, by: step) {
            let key = bench.spareKey(number)
            let generation = try change.prepare(bench.store, key)
            let arguments = ["--store", bench.path] + change.arguments(key, generation)
            let outcome = bench.run(arguments, fault: "\(number):KILL")
            _ = try bench.store.claimAndFinalize(Store.Key("elsewhere-\(number)"), [])
            try comeNext(bench, number)
            try check(bench, "call \(number): \(outcome)")
            try? bench.store.session.releaseLease(
                key, Replay(bench.store.allChanges()).leases[key]?.first ?? generation)
            // Otherwise a reaper would have more to do each time, and no number of a call be behind its last.
            try bench.store.reap()
            endings.insert("\(outcome.ending)")
            if outcome.code == 0 { break }
        }
        #expect(endings.count == 2, "some were killed, and the last was not")
    }
}
