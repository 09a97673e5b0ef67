import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// What a lease with many slots costs, in system calls of the whole command.
@Suite(.ownThreads, .enabled(if: isInstalled("strace"), "needs strace"))
struct SlotCallTests {
    private let stage = Stage()

    private func calls(_ arguments: String...) -> (outcome: Outcome, count: Int) {
        let log = stage.directory("trace")
        let outcome = TestSupport.run(
            "strace", ["-o", log, builtProducts + "/flock-cache", "lease"] + arguments,
            environment: stage.variables)
        return (outcome, (contents(of: log) ?? []).count { $0 == UInt8(ascii: "\n") })
    }

    /// Of each command, how many calls it makes where all of so many slots are taken but for the last.
    private func counts(slots: Int) throws -> [String: Int] {
        let key = "key-\(slots)"
        let acquire = ["lease", "acquire", key, "--slots", "\(slots)", "--ttl", "1h"]
        func acquired() -> (outcome: Outcome, count: Int) {
            calls("acquire", key, "--slots", "\(slots)", "--ttl", "1h")
        }
        let first = TestSupport.run(
            builtProducts + "/flock-cache", acquire, environment: stage.variables)
        #expect(first.code == 0, "\(first)")
        try fillLease(of: .init(key), in: stage.store, slots: slots - 1)
        // GENERATION SLOT
        let words = acquired().outcome.text.split(whereSeparator: \.isWhitespace)
        let last = try #require(words.first.flatMap { UInt64($0) })
        // Who looks at all of them notes what it finds.
        #expect(acquired().outcome.code == 75)
        var counts: [String: Int] = [:]
        let busy = acquired()
        #expect(busy.outcome.code == 75, "\(busy)")
        counts["acquire, all taken"] = busy.count
        for action in ["check", "renew", "release"] {
            let done = calls(action, key, "--generation", "\(last)")
            #expect(done.outcome.code == 0, "\(done)")
            counts[action] = done.count
        }
        let late = calls("check", key, "--generation", "\(last)")
        #expect(late.outcome.code == 76, "\(late)")
        counts["check, lost"] = late.count
        let next = acquired()
        #expect(next.outcome.text.hasSuffix(" \(slots - 1)\n"), "\(next)")
        counts["acquire, one free"] = next.count
        return counts
    }

    /// With 4096 slots a few calls more than with two: for the file that says which are taken.
    @Test func theyDoNotDependOnHowManySlotsThereAre() throws {
        let (few, many) = (try counts(slots: 2), try counts(slots: 4096))
        for (name, count) in few.sorted(by: { $0.key < $1.key }) {
            print("\(name): \(count) calls, of 4096 slots \(many[name] ?? 0)")
            // What a command does first is not always the same number of calls.
            #expect(many[name] ?? .max <= count + 16, "\(name)")
        }
    }
}
