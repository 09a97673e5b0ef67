import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// `put` and `increment` stopped at every system call, while a rival finishes, or waits until they go on.
@Suite(.ownThreads) struct ValueStopTests {
    /// Both numbers are counted, in either order, and each is told another.
    @Test(
        arguments: most([Operation.increment, .incrementOverStale, .incrementNew, .incrementOver]))
    func ofTwoIncrementsNoneIsLost(_ operation: Operation) throws {
        try FaultBench.stopEverywhere(operation) { bench, key, _ in
            ["--store", bench.path, "increment", "\(key)", "100"]
        } check: { old, first, second, new in
            guard first.code == 0, second.code == 0, case .ready(_, let value) = new,
                let sum = Int(String(decoding: value, as: UTF8.self))
            else { return false }
            let start: Int
            switch old {
            case .ready(_, let value), .both(_, let value, _):
                start = Int(String(decoding: value.filter { $0 != 10 }, as: UTF8.self)) ?? -1
            default: start = 0
            }
            let told = [first, second].compactMap { Int($0.text.dropLast()) }
            let orders = [[start - 5, start + 95], [start + 95, start + 100]]
            return sum == start + 95 && orders.contains(told)
        }
    }

    /// One of two that set an absent key only where it is absent.
    @Test(arguments: most([Operation.putOverStale, .putLarge, .putNew]))
    func ofTwoOnTheSamePreconditionOneSucceeds(_ operation: Operation) throws {
        try FaultBench.stopEverywhere(operation, adding: ["--if-absent"]) { bench, key, _ in
            ["--store", bench.path, "put", "--if-absent", "\(key)", "rival"]
        } check: { _, first, second, new in
            guard case .ready(let generation, let value) = new else { return false }
            let told = first.generation == generation && second.generation == generation
            let isRivals = value == Array("rival".utf8)
            return told && [first.code, second.code] == (isRivals ? [1, 0] : [0, 1])
        }
    }

    /// The last of two that set it is there.
    @Test(arguments: most([Operation.putOverNumber, .putLargeOver, .putOver]))
    func ofTwoPutsBothAreToldAndTheLaterIsThere(_ operation: Operation) throws {
        try FaultBench.stopEverywhere(operation) { bench, key, _ in
            ["--store", bench.path, "put", "\(key)", "rival"]
        } check: { _, first, second, new in
            guard case .ready(let generation, let value) = new,
                let one = first.generation, let other = second.generation
            else { return false }
            let isRivals = value == Array("rival".utf8)
            return one != other && generation == max(one, other) && isRivals == (other > one)
        }
    }

    /// Who claims the key finds the value, or has it and then the value is not set; never both.
    @Test(arguments: most([Operation.putOverStale, .incrementNew, .putNew, .putLarge]))
    func aClaimAndAValueDoNotBothSucceed(_ operation: Operation) throws {
        try FaultBench.stopEverywhere(operation) { bench, key, _ in
            ["--store", bench.path, "claim", "--owner", "\(bench.owner.id)", "\(key)"]
        } check: { _, first, second, new in
            switch new {
            case .ready: first.code == 0 && second.code == 1
            case .pending: first.code == 75 && second.code == 0
            default: false
            }
        }
    }

    /// Removed before or after, and nothing is left half-way.
    @Test(arguments: most([Operation.increment, .putOver]))
    func aRemovalComesBeforeOrAfter(_ operation: Operation) throws {
        try FaultBench.stopEverywhere(operation) { bench, key, _ in
            ["--store", bench.path, "remove", "\(key)"]
        } check: { old, first, second, new in
            guard first.code == 0, second.code == 0 else { return false }
            guard case .ready(_, let value) = new else { return new == .absent }
            return value == FaultBench.small || value == Array("-5".utf8)
        }
    }
}

/// All in the long form; otherwise the first half, which meets each of the ways in which a value is set.
private func most(_ operations: [Operation]) -> [Operation] {
    wantsLongTests ? operations : Array(operations.prefix((operations.count + 1) / 2))
}
