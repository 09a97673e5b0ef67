import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A command stopped at every system call, while a rival finishes, or waits until it goes on.
@Suite(.ownThreads) struct StopTests {
    @Test(arguments: Operation.claims)
    func ofAStoppedClaimAndItsRivalOneWins(_ operation: Operation) throws {
        try stopEverywhere(operation) { bench, _, arguments in
            arguments
        } check: { first, second, _ in
            Set([first.code, second.code]) == [0, 75]
        }
    }

    @Test(arguments: [Operation.finalizeSmall, Operation.finalizeLarge])
    func ofAStoppedFinalizeAndAnAbandonOneHappens(_ operation: Operation) throws {
        try stopEverywhere(operation) { bench, key, _ in
            ["--store", bench.path, "abandon", "--owner", "\(bench.owner.id)", "\(key)"]
        } check: { finalize, abandon, state in
            switch state {
            case .ready: finalize.code == 0 && abandon.code == 0
            case .absent: finalize.code == 76 && abandon.code == 0
            default: false
            }
        }
    }

    /// The same claim, two values.
    @Test(arguments: [Operation.finalizeSmall, Operation.finalizeLarge])
    func ofTwoFinalizesOneValueIsPublished(_ operation: Operation) throws {
        try stopEverywhere(operation) { bench, key, arguments in
            ["--store", bench.path, "finalize", "--owner", "\(bench.owner.id)", "\(key)", "rival"]
        } check: { first, second, state in
            guard first.code == 0, second.code == 0, case .ready(_, let value) = state else {
                return false
            }
            return [FaultBench.small, FaultBench.large, Array("rival".utf8)].contains(value)
        }
    }

    /// Stops the operation at each call in turn, runs its rival, and lets it go on.
    private func stopEverywhere(
        _ operation: Operation,
        rival: (FaultBench, Store.Key, [String]) -> [String],
        check: (Outcome, Outcome, KeyFiles) -> Bool
    ) throws {
        let bench = try FaultBench()
        var (number, waits) = (0, 0)
        while true {
            number += 1
            let (key, old, arguments) = try bench.prepare(operation)
            let stopped = Child(
                builtProducts + "/flock-cache", arguments,
                environment: ["FLOCK_CACHE_FAULT": "\(number):STOP"])
            guard stopped.waitForStop() else { break }
            let isInChange = anyMutexIsHeld(bench.path)
            let other = Child(builtProducts + "/flock-cache", rival(bench, key, arguments))
            if isInChange {
                // It cannot end before: go on when it has come to the file of mutexes.
                waits += 1
                #expect(waitUntil { hasOpen(other.id, "/locks/shards") || hasEnded(other.id) })
            } else {
                _ = other.wait()
            }
            stopped.kill(SIGCONT)
            let (first, second) = (stopped.outcome(), other.outcome())
            let new = try bench.state(of: key)
            let what = "call \(number): \(old) → \(new), \(first), rival \(second)"
            #expect(check(first, second, new), "\(what)")
            try bench.check(key, what)
        }
        print("stopped at \(number - 1) calls, \(waits) in a change: \(operation.testDescription)")
        #expect(waits > 2, "some of the calls are in the change")
        try bench.checkThatReapingLeavesNothing()
    }

    private func hasOpen(_ process: pid_t, _ suffix: String) -> Bool {
        names(in: "/proc/\(process)/fd").contains { name in
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/\(process)/fd/\(name)", &target, target.count - 1)
            return count > 0
                && target[..<count].map { UInt8(bitPattern: $0) }.suffix(suffix.utf8.count)
                    .elementsEqual(suffix.utf8)
        }
    }

    /// Ended and not yet waited for.
    private func hasEnded(_ process: pid_t) -> Bool {
        String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self)
            .contains(") Z ")
    }
}
