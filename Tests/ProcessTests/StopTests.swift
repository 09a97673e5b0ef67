import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A command stopped at every system call, while a rival finishes, or waits until it goes on.
@Suite(.ownThreads) struct StopTests {
    @Test(arguments: Operation.claims)
    func ofAStoppedClaimAndItsRivalOneWins(_ operation: Operation) throws {
        try FaultBench.stopEverywhere(operation) { _, _, arguments in
            arguments
        } check: { _, first, second, _ in
            Set([first.code, second.code]) == [0, 75]
        }
    }

    @Test(arguments: [Operation.finalizeSmall, Operation.finalizeLarge])
    func ofAStoppedFinalizeAndAnAbandonOneHappens(_ operation: Operation) throws {
        try FaultBench.stopEverywhere(operation) { bench, key, _ in
            ["--store", bench.path, "abandon", "--owner", "\(bench.owner.id)", "\(key)"]
        } check: { _, finalize, abandon, state in
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
        try FaultBench.stopEverywhere(operation) { bench, key, arguments in
            ["--store", bench.path, "finalize", "--owner", "\(bench.owner.id)", "\(key)", "rival"]
        } check: { _, first, second, state in
            guard first.code == 0, second.code == 0, case .ready(_, let value) = state else {
                return false
            }
            return [FaultBench.small, FaultBench.large, Array("rival".utf8)].contains(value)
        }
    }

    /// A claim whose time is over, renewed for an hour: either it is, or the rival has taken it over.
    @Test func ofAStoppedRenewalAndATakeOverOneHappens() throws {
        try FaultBench.stopEverywhere(.renewWhatIsOver) { bench, key, _ in
            ["--store", bench.path, "claim", "--owner", "\(bench.owner.id)", "\(key)"]
        } check: { _, renewal, claim, state in
            guard case .pending = state else { return false }
            return [[0, 75], [76, 0]].contains([renewal.code, claim.code])
        }
    }
}
