import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Every command killed at every system call, and every call of it failing.
@Suite(.ownThreads) struct CrashTests {
    @Test(arguments: Operation.all + Operation.someValues)
    func aKilledCommandLeavesTheOldStateOrTheNew(_ operation: Operation) throws {
        let bench = try FaultBench()
        var states: [String: Int] = [:]
        var number = 0
        while true {
            number += 1
            let (key, old, arguments) = try bench.prepare(operation)
            let outcome = bench.run(arguments, fault: "\(number):KILL")
            let new = try bench.state(of: key)
            let what = "call \(number): \(old) → \(new), \(outcome)"
            guard outcome.ending == .signal(SIGKILL) else {
                // Past its last call it ends by itself.
                #expect(outcome.code == 0, "\(what)")
                #expect(operation.isDone(old, new), "\(what)")
                try bench.check(key, what)
                break
            }
            let isNew = operation.isDone(old, new)
            #expect(new == old || isNew || operation.isBetween(old, new), "\(what)")
            states[new == old ? "old" : isNew ? "new" : "between", default: 0] += 1
            #expect(!anyMutexIsHeld(bench.path), "\(what)")
            try bench.check(key, what)
            guard try bench.state(of: key) == old else { continue }
            // What the killed one left half-done is in nobody's way.
            let again = bench.run(arguments, fault: "")
            let then = try bench.state(of: key)
            #expect(again.code == 0 && operation.isDone(old, then), "\(what); again: \(then)")
            if case .ready(_, let value) = then {
                #expect(try bench.store.bytes(of: key) == value, "\(what)")
                try bench.store.remove(key)
            }
        }
        print("killed at \(number - 1) calls: \(operation.testDescription): \(states)")
        #expect((states["old"] ?? 0) > 0 && (states["new"] ?? 0) > 0, "the matrix met the change")
        try bench.checkThatReapingLeavesNothing()
    }

    /// 28 is ENOSPC, 5 EIO, 24 EMFILE.
    ///
    /// In the short form each call fails with one of them, another in each run.
    @Test(arguments: Operation.all, wantsLongTests ? [28, 5, 24] : [0])
    func aFailingCallIsNeverASuccess(_ operation: Operation, one: Int32) throws {
        try failEachCall(of: operation, one == 0 ? [28, 5, 24] : [one])
    }

    /// 22 is EINVAL: where the two names cannot change places in one step, others do the same.
    @Test(arguments: Operation.someValues, wantsLongTests ? [28, 5, 24, 22] : [28, 22])
    func aFailingCallSetsNoValue(_ operation: Operation, errno: Int32) throws {
        try failEachCall(of: operation, [errno])
    }

    /// Calls by their numbers: all, in the short form every other one, for which a seed decides.
    ///
    /// What fails at each call of the shipped command is tried by `Tests/Torture/errno.py`.
    private func someOf(_ count: Int, using random: inout Seeded) -> [Int] {
        if wantsLongTests { return Array(1...count) }
        return Array(stride(from: Int.random(in: 1...2, using: &random), through: count, by: 2))
    }

    private func failEachCall(of operation: Operation, _ errors: [Int32]) throws {
        let bench = try FaultBench()
        var random = Seeded("failing calls of \(operation.testDescription)")
        // A few more: what was left behind before makes later runs longer.
        let calls = try someOf(bench.countCalls(of: operation) + 5, using: &random)
        var failures = 0
        for number in calls {
            let errno = errors.randomElement(using: &random) ?? 5
            let (key, old, arguments) = try bench.prepare(operation)
            let outcome = bench.run(arguments, fault: "\(number):\(errno)")
            let new = try bench.state(of: key)
            let what = "call \(number), errno \(errno): \(old) → \(new), \(outcome)"
            if operation.isHousekeeping {
                #expect(new == old || new == .absent, "\(what)")
                if outcome.text.contains("\(key)\t") { #expect(new == .absent, "\(what)") }
                failures += outcome.code == 0 ? 0 : 1
            } else if outcome.code == 0 {
                #expect(operation.isDone(old, new), "\(what)")
            } else {
                failures += 1
                #expect(outcome.code >= 64 && outcome.code <= 78, "\(what)")
                #expect(!outcome.error.isEmpty, "\(what)")
                // Unless it says that it does not know, or that it gave up what it had won; or the
                // second of two removals failed.
                let isUnknown =
                    outcome.error.contains("may have happened")
                    || outcome.error.contains("all the same") && operation.isDone(old, new)
                let isGivenUp = outcome.error.contains("given up") && new == .absent
                let isHalfRemoved = new != .torn && operation.isBetween(old, new)
                #expect(new == old || isUnknown || isGivenUp || isHalfRemoved, "\(what)")
            }
            try bench.check(key, what)
        }
        print("\(failures) of \(calls.count) calls failed: \(operation.testDescription)")
        #expect(failures > 3)
        try bench.checkThatReapingLeavesNothing()
    }

    /// As on a device that is full, or gone: from one call on every call fails.
    ///
    /// A command that fails may then leave what it could not take back, but says nothing that is
    /// not so.
    @Test(arguments: Operation.all + Operation.someValues, wantsLongTests ? [28, 5, 24] : [5])
    func commandsOnAFailingDeviceSayNothingThatIsNotSo(_ operation: Operation, errno: Int32) throws
    {
        let bench = try FaultBench()
        var random = Seeded("a failing device, \(operation.testDescription)")
        for number in try someOf(bench.countCalls(of: operation), using: &random) {
            let (key, old, arguments) = try bench.prepare(operation)
            let outcome = bench.run(arguments, fault: "\(number)+:\(errno)")
            let new = try bench.state(of: key)
            let what = "call \(number) and later: \(old) → \(new), \(outcome)"
            if outcome.code == 0 {
                #expect(operation.isDone(old, new) || operation.isHousekeeping, "\(what)")
            } else {
                // Where nothing can be written, nobody can be told more than the code.
                #expect(outcome.code >= 64 && outcome.code <= 78, "\(what)")
            }
            if outcome.text.contains("\n") && !operation.isHousekeeping {
                #expect(outcome.code == 0, "\(what)")
            }
            #expect(
                new == old || new == .torn || operation.isDone(old, new)
                    || operation.isBetween(old, new), "\(what)")
            try bench.check(key, what)
        }
        try bench.checkThatReapingLeavesNothing()
    }

    /// The library's own: it reads back what it has published.
    @Test(arguments: [5, 24])
    func finalizingAFileFailsOnlyBeforeItIsPublished(errno: Int32) throws {
        let bench = try FaultBench()
        var outcomes: [String: Int] = [:]
        // One key: in a shard that is new there are more calls, and a number would pass over one of them.
        let key = "file"
        for number in 1... {
            try bench.store.remove(Store.Key(key), includingPending: true)
            let peer = PeerProcess(
                bench.path, environment: ["FLOCK_CACHE_FAULT": "\(number):\(errno)"], greets: false)
            // What fails before the claim is won is not the matter here.
            guard peer.process.line() == "hello", peer.ask("claim \(key)").hasPrefix("won ") else {
                continue
            }
            let answer = peer.ask("finalize-file \(bench.largeFile)")
            let state = KeyFiles(try file(of: Store.Key(key), in: bench.path))
            let what = "call \(number): \(answer), \(state)"
            outcomes[answer, default: 0] += 1
            switch answer {
            case "done", "error unknownOutcome":
                if case .ready(_, FaultBench.large) = state {} else { Issue.record("\(what)") }
            default: #expect(answer == "error inputOutput" && state == .absent, "\(what)")
            }
            try bench.check(Store.Key(key), what)
            // Past the last call there is no fault.
            if answer == "done" && number > 120 { break }
        }
        print("finalized a file, errno \(errno): \(outcomes)")
        #expect(outcomes.count == 3)
    }

    @Test func aStoreWhoseMakerWasKilledIsMadeByTheNext() throws {
        let directory = TemporaryDirectory()
        let owner = Child("sleep", ["1000"])
        var number = 0
        while true {
            number += 1
            // The blocks of 256 shards are written one after the other: all alike.
            if !wantsLongTests && number > 40 && number < 280 { number += 25 }
            let path = directory("store-\(number)")
            let arguments = ["--store", path, "claim", "--owner", "\(owner.id)", "key"]
            let outcome = run(
                builtProducts + "/flock-cache", arguments,
                environment: ["FLOCK_CACHE_FAULT": "\(number):KILL"])
            let what = "call \(number): \(outcome)"
            let store = try Store(at: path)
            let told = try store.claimAndFinalize("key", "value".utf8)
            if outcome.ending != .signal(SIGKILL) {
                #expect(outcome.code == 0 && told == .pending, "\(what): \(told)")
                break
            }
            if told == .pending {
                #expect(KeyFiles(try file(of: "key", in: path)).generation > 0, "\(what)")
            } else {
                #expect(told.isWon, "\(what): \(told)")
            }
            #expect(try store.claimAndFinalize("other", "value".utf8).isWon, "\(what)")
            #expect(Tally(try store.counts()) == Tally(filesOf: path), "\(what)")
        }
        print("killed while making a store: \(number) calls")
    }
}
