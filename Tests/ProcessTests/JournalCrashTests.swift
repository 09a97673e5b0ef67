import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Commands that change journals, killed, stopped and failing at every system call.
@Suite(.ownThreads) struct JournalCrashTests {
    private static let operations = wantsLongTests ? JournalOperation.all : JournalOperation.short

    @Test(arguments: operations)
    func aKilledCommandHasDoneAllOrNothing(_ operation: JournalOperation) throws {
        let faults = try JournalFaults(operation)
        var found: [JournalFaults.Progress: Int] = [:]
        for number in 1... {
            try faults.prepare(operation)
            let old = try faults.read()
            let outcome = faults.run(operation, fault: "\(number):KILL")
            let new = try faults.read()
            let what = "call \(number): \(old.count) → \(new.count) records, \(outcome.ending)"
            let progress = faults.progress(operation, old, new)
            #expect(progress != nil, "\(what): \(new)")
            found[progress ?? .nothing, default: 0] += 1
            let isKilled = outcome.ending == .signal(SIGKILL)
            if !isKilled {
                #expect(outcome.code == 0, "\(what): \(outcome)")
                if operation.keeps == nil {
                    #expect(progress == .all, "\(what)")
                    #expect(outcome.text == "\(new.last?.number ?? 0)\n", "\(what)")
                }
            }
            // A journal that was removed to its last segment begins anew.
            let isGone = operation.removes && new.isEmpty
            try faults.check(
                operation, new,
                next: isGone
                    ? nil
                    : (old.last?.number ?? 0) + UInt64(added(operation, progress, faults)) + 1,
                what)
            if !isKilled { break }
        }
        print("killed: \(operation.testDescription): \(found)")
        if operation.keeps == nil {
            #expect((found[.nothing] ?? 0) > 0 && (found[.all] ?? 0) > 0, "it met the change")
        }
        try faults.store.reap()
        #expect(names(in: faults.path + "/journal/log").allSatisfy { !$0.hasPrefix(".") })
    }

    private func added(
        _ operation: JournalOperation, _ progress: JournalFaults.Progress?, _ faults: JournalFaults
    ) -> Int {
        progress == .all ? operation.appends(faults).count : 0
    }

    /// 28 is ENOSPC, 5 EIO, 122 EDQUOT.
    @Test(arguments: operations, wantsLongTests ? [28, 5, 122] : [0])
    func aFailingCallIsNeverASuccess(_ operation: JournalOperation, one: Int32) throws {
        let faults = try JournalFaults(operation)
        var random = Seeded("failing calls of \(operation.testDescription)")
        var failures = 0
        for number in 1... {
            try faults.prepare(operation)
            let errno = one != 0 ? one : [28, 5, 122].randomElement(using: &random) ?? 5
            let old = try faults.read()
            let outcome = faults.run(operation, fault: "\(number):\(errno)")
            let new = try faults.read()
            let what = "call \(number), errno \(errno): \(outcome)"
            let progress = faults.progress(operation, old, new)
            #expect(progress != nil, "\(what): \(new)")
            if outcome.code == 0 {
                if operation.keeps == nil { #expect(progress == .all, "\(what)") }
            } else {
                failures += 1
                #expect(
                    outcome.code >= 64 && outcome.code <= 78 && !outcome.error.isEmpty, "\(what)")
                // The number could not be printed; or it says that it does not know.
                let isUntold = outcome.error.contains("standard output")
                let isUnknown = outcome.error.contains("may become record")
                if operation.keeps == nil, !isUntold, !isUnknown {
                    #expect(progress == .nothing, "\(what)")
                }
            }
            let isGone = operation.removes && new.isEmpty
            try faults.check(
                operation, new, next: isGone ? nil : (new.last ?? old.last)?.number.advanced(by: 1),
                what)
            // Past its last call nothing fails.
            let wasReached =
                faults.run(operation, fault: "\(number):KILL").ending == .signal(SIGKILL)
            if !wasReached { break }
        }
        print("failed: \(operation.testDescription): \(failures) calls")
        #expect(failures > 3)
    }

    /// The rival appends; where the stopped command has the lock it waits for it.
    @Test(arguments: operations)
    func aStoppedCommandAndItsRivalBothHappen(_ operation: JournalOperation) throws {
        let faults = try JournalFaults(operation)
        var waits = 0
        for number in 1... {
            try faults.prepare(operation)
            let old = try faults.read()
            let stopped = Child(
                builtProducts + "/flock-cache", faults.arguments(operation),
                environment: JournalFaults.variables.merging([
                    "FLOCK_CACHE_FAULT": "\(number):STOP"
                ]) { $1 })
            guard stopped.waitForStop() else { break }
            let append = ["--store", faults.path, "journal", "append", "log", "rival"]
            if try faults.isLocked() {
                waits += 1
                if waits == 1 {
                    let late = run(builtProducts + "/flock-cache", append + ["-w", "1s"])
                    #expect(late.code == 124, "\(late)")
                    #expect(late.error.contains("pid \(stopped.id) is in the middle"), "\(late)")
                }
                let rival = Child(
                    builtProducts + "/flock-cache", append, environment: JournalFaults.variables)
                stopped.kill(SIGCONT)
                try check(operation, faults, old, stopped.outcome(), rival.outcome(), number)
            } else {
                let rival = run(
                    builtProducts + "/flock-cache", append, environment: JournalFaults.variables)
                stopped.kill(SIGCONT)
                try check(operation, faults, old, stopped.outcome(), rival, number)
            }
        }
        print("stopped: \(operation.testDescription): \(waits) calls under the lock")
        #expect(waits > 1)
    }

    private func check(
        _ operation: JournalOperation, _ faults: JournalFaults, _ old: [Line], _ first: Outcome,
        _ second: Outcome, _ number: Int
    ) throws {
        let new = try faults.read()
        let what = "call \(number): \(first), rival \(second)"
        #expect(first.code == 0 && second.code == 0, "\(what)")
        if operation.removes {
            #expect(new.count <= 1 && new.allSatisfy { $0.text == "rival" }, "\(what): \(new)")
            return
        }
        #expect(
            new.count { $0.text == "rival" && $0.number > (old.last?.number ?? 0) } == 1
                || operation.keeps == 0, "\(what)")
        if operation.keeps == nil {
            let texts = operation.appends(faults)
            let added = new.filter { $0.number > (old.last?.number ?? 0) }.map(\.text)
            #expect(added == ["rival"] + texts || added == texts + ["rival"], "\(what)")
        }
        let numbers = new.map(\.number)
        #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 + 1 == $1 }, "\(what)")
    }
}
