import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `wait`, and what commands that wait say and how they end.
@Suite(.ownThreads) struct CommandWaitTests {
    private func claim(_ stage: Stage, _ key: String = "k") throws -> UInt64 {
        try #require(stage.run("claim", "--", key).generation)
    }

    @Test func aReadyKeyIsPrintedAtOnce() {
        let stage = Stage()
        stage.publish("k", "the value")
        let outcome = stage.run("wait", "k")
        #expect(outcome.code == 0)
        #expect(outcome.text == "the value")
    }

    @Test func theVariableSaysHowLongToWait() throws {
        var stage = Stage()
        _ = try claim(stage)
        stage.variables["FLOCK_CACHE_WAIT"] = "20ms"
        #expect(stage.run("wait", "k").code == 124)
        stage.variables["FLOCK_CACHE_WAIT"] = "0"
        #expect(stage.run("wait", "k").code == 75)
        stage.variables["FLOCK_CACHE_WAIT"] = "soon"
        let bad = stage.run("wait", "k")
        #expect(bad.code == 78)
        #expect(bad.error.contains("FLOCK_CACHE_WAIT"), "\(bad)")
        #expect(stage.run("wait", "-n", "k").code == 75, "an option goes before the variable")
    }

    @Test func aDamagedValueIs65() throws {
        let stage = Stage()
        stage.publish("k", "value")
        var record = try stage.record("k")
        record[record.count - 1] ^= 1
        write(record, to: try #require(stage.entryFile("k")))
        #expect(stage.run("wait", "k").code == 65)
        #expect(stage.run("wait", "k").code == 1)
    }
}
