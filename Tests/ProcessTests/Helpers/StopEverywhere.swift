import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

extension FaultBench {
    /// Stops an operation at each system call in turn, runs its rival, and lets it go on.
    ///
    /// - Parameters:
    ///   - options: added to the operation's command line.
    ///   - rival: the other command line, of a key, and given the operation's.
    ///   - check: whether what the key was, what both came to, and what the key is then may be.
    static func stopEverywhere(
        _ operation: Operation, adding options: [String] = [],
        rival: (FaultBench, Store.Key, [String]) -> [String],
        check: (KeyFiles, Outcome, Outcome, KeyFiles) -> Bool
    ) throws {
        let bench = try FaultBench()
        var (number, waits) = (0, 0)
        while true {
            number += 1
            let (key, old, arguments) = try bench.prepare(operation)
            let stopped = Child(
                builtProducts + "/flock-cache", arguments + options,
                environment: ["FLOCK_CACHE_FAULT": "\(number):STOP"])
            guard stopped.waitForStop() else { break }
            let isInChange = anyMutexIsHeld(bench.path)
            let other = Child(builtProducts + "/flock-cache", rival(bench, key, arguments))
            var ended: Outcome?
            if isInChange {
                // It cannot end before: go on when it has come to the file of mutexes.
                waits += 1
                #expect(waitUntil { hasOpen(other.id, "/locks/shards") || hasEnded(other.id) })
            } else {
                // It may print more than a pipe holds.
                ended = other.outcome()
            }
            stopped.kill(SIGCONT)
            let (first, second) = (stopped.outcome(), ended ?? other.outcome())
            let new = try bench.state(of: key)
            let what = "call \(number): \(old) → \(new), \(first), rival \(second)"
            #expect(check(old, first, second, new), "\(what)")
            try bench.check(key, what)
        }
        print("stopped at \(number - 1) calls, \(waits) in a change: \(operation.testDescription)")
        #expect(waits > 2, "some of the calls are in the change")
        try bench.checkThatReapingLeavesNothing()
    }

    private static func hasOpen(_ process: pid_t, _ suffix: String) -> Bool {
        names(in: "/proc/\(process)/fd").contains { name in
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/\(process)/fd/\(name)", &target, target.count - 1)
            return count > 0
                && target[..<count].map { UInt8(bitPattern: $0) }.suffix(suffix.utf8.count)
                    .elementsEqual(suffix.utf8)
        }
    }

    /// Ended and not yet waited for.
    private static func hasEnded(_ process: pid_t) -> Bool {
        String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self)
            .contains(") Z ")
    }
}
