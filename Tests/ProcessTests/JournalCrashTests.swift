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
        var random = Seeded("killed: \(operation.testDescription)")
        var found: [JournalFaults.Progress: Int] = [:]
        var ended = 0
        for number in try faults.calls(operation, &random) {
            try faults.prepare(operation)
            let old = try faults.read()
            let outcome = faults.run(operation, fault: "\(number):KILL")
            let new = try faults.read()
            let what = "call \(number): \(old.count) → \(new.count) records, \(outcome)"
            let progress = faults.progress(operation, old, new)
            #expect(progress != nil, "\(what): \(new)")
            found[progress ?? .nothing, default: 0] += 1
            if outcome.ending != .signal(SIGKILL) {
                ended += 1
                #expect(outcome.code == 0, "\(what)")
                if operation.keeps == nil {
                    #expect(progress == .all, "\(what)")
                    #expect(outcome.text == "\(new.last?.number ?? 0)\n", "\(what)")
                }
            }
            try faults.check(operation, old, new, what)
        }
        print("killed: \(operation.testDescription): \(found), \(ended) ended by themselves")
        #expect(ended > 0)
        if operation.keeps == nil {
            #expect((found[.nothing] ?? 0) > 0 && (found[.all] ?? 0) > ended, "it met the change")
        }
        try faults.store.reap()
        #expect(names(in: faults.path + "/journal/log").allSatisfy { !$0.hasPrefix(".") })
    }

    /// 28 is ENOSPC, 5 EIO, 122 EDQUOT.
    @Test(arguments: operations, wantsLongTests ? [28, 5, 122] : [0])
    func aFailingCallIsNeverASuccess(_ operation: JournalOperation, one: Int32) throws {
        let faults = try JournalFaults(operation)
        var random = Seeded("failing calls of \(operation.testDescription)")
        var failures = 0
        for number in try faults.calls(operation, &random) {
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
                #expect(outcome.code >= 64 && outcome.code <= 78, "\(what)")
                #expect(!outcome.error.isEmpty, "\(what)")
                // The number could not be printed; or of lines it was, and the failure came behind them; or it says
                // that it does not know.
                let isUntold = outcome.error.contains("standard output")
                let isTold = outcome.text == "\(new.last?.number ?? 0)\n"
                let isUnknown = outcome.error.contains("may become record")
                if operation.keeps == nil, !isUntold, !isTold, !isUnknown {
                    #expect(progress == .nothing, "\(what)")
                }
            }
            try faults.check(operation, old, new, what)
        }
        print("failed: \(operation.testDescription): \(failures) calls")
        #expect(failures > 3)
    }

    private static let stopped: [JournalOperation] =
        wantsLongTests ? JournalOperation.all : [.appendLines, .appendNext, .trimAll, .durable]

    /// The rival appends; where the stopped command has the lock it waits for it.
    @Test(arguments: stopped)
    func aStoppedCommandAndItsRivalBothHappen(_ operation: JournalOperation) throws {
        let faults = try JournalFaults(operation)
        var random = Seeded("stopped: \(operation.testDescription)")
        var waits = 0
        for number in try faults.calls(operation, &random) {
            try faults.prepare(operation)
            let old = try faults.read()
            let stopped = Child(
                builtProducts + "/flock-cache", faults.arguments(operation),
                environment: JournalFaults.variables.merging([
                    "FLOCK_CACHE_FAULT": "\(number):STOP"
                ]) { $1 })
            guard stopped.waitForStop() else { continue }
            let append = ["--store", faults.path, "journal", "append", "log", "rival"]
            if try faults.isLocked() {
                waits += 1
                if waits == 1 {
                    let late = run(builtProducts + "/flock-cache", append + ["-w", "50ms"])
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
        #expect(waits > 0)
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
