#if Async

import TestSupport
import Testing

@testable import TestHelpers

/// What is done again and again leaves nothing: no descriptor, no memory, no thread.
@Suite(.ownThreads) struct FlatnessTests {
    private let directory = TemporaryDirectory()

    private func expectFlat(_ order: String, _ kind: String) throws {
        // Lock waits reach the size at which they stay after some 2000.
        let count = wantsLongTests ? 100_000 : kind == "wait-lock" ? 6000 : 2000
        let answer = PeerProcess(directory("store")).ask("\(order) \(kind) \(count)")
        print("\(count) times \(kind): descriptors and bytes more: \(answer)")
        let numbers = answer.split(separator: " ").compactMap { Int($0) }
        try #require(numbers.count == 2, "\(answer)")
        #expect(numbers[0] <= 0, "descriptors: \(answer)")
        // The least that malloc gives away is 32 bytes. Those of a fourth of the operations are counted.
        #expect(numbers[1] < min(16 << 10, 16 * count / 4), "bytes: \(answer)")
    }

    @Test(arguments: [
        "life", "get", "put", "increment", "append", "lock", "lease", "renew", "wait",
    ])
    func threads(_ kind: String) throws { try expectFlat("flat", kind) }

    @Test(arguments: [
        "lock", "lease", "leased", "compute", "put", "wait-key", "wait-lock", "wait-lease",
        "wait-journal", "wait-changes", "cancelled",
    ])
    func tasks(_ kind: String) throws { try expectFlat("tasks-flat", kind) }

    @Test(arguments: ["key", "lock", "lease", "journal", "changes"])
    func aThousandTasksWaitWithFewThreads(_ kind: String) throws {
        let answer = PeerProcess(directory("store")).ask("tasks-many \(kind) 1000")
        print("a thousand tasks wait for a \(kind): cancelled, threads more: \(answer)")
        let numbers = answer.split(separator: " ").compactMap { Int($0) }
        try #require(numbers.count == 2, "\(answer)")
        #expect(numbers[0] == 1000 && numbers[1] <= 4, "\(answer)")
    }
}

#endif
