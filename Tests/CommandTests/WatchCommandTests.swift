import Testing
import TestSupport

@testable import TestHelpers

/// `watch` and `init --journal` as scripts see them.
@Suite(.ownThreads) struct WatchCommandTests {
    private let stage = Stage()

    private func lines(_ arguments: String...) -> [String] {
        var words = "watch -w 0"
        for argument in arguments { words += " \(argument)" }
        let outcome = stage.line(words)
        #expect(outcome.code == 124, "\(outcome)")
        return outcome.text.split(separator: "\n").map(String.init)
    }

    @Test func changesArePrintedWithNumberTimeEventKeyAndGeneration() throws {
        #expect(stage.run("init", "--journal").code == 0)
        stage.publish("a/b", "value")
        let fields = lines("--from", "1").map { $0.split(separator: "\t").map(String.init) }
        #expect(
            fields.map { [$0[0], $0[2], $0[3]] } == [
                ["1", "claimed", "a%2Fb"], ["2", "finalized", "a%2Fb"],
            ])
        #expect(fields.allSatisfy { $0.count == 5 && $0[1].utf8.count == 27 })
        #expect(fields[0][4] == fields[1][4] && UInt64(fields[0][4]) != nil)
        let json = try #require(lines("--from", "2", "--json").first)
        #expect(json.hasPrefix(#"{"number":2,"time":"2"#))
        #expect(
            json.contains(
                #""event":"finalized","key":"a%2Fb","text":"a/b","generation":\#(fields[0][4])}"#))
    }

    @Test func withoutANumberItBeginsWithTheNextChange() {
        #expect(stage.run("init", "--journal").code == 0)
        stage.publish("key", "value")
        #expect(lines().isEmpty)
        #expect(lines("--from", "3").isEmpty)
        #expect(lines("--from", "1", "--prefix", "k").count == 2)
        #expect(lines("--from", "1", "--prefix", "other").isEmpty)
    }

    @Test func numbersThatAreNotThereAreRefused() {
        #expect(stage.run("init", "--journal").code == 0)
        #expect(stage.run("watch", "--from", "2", "-w", "0").code == 64)
        stage.publish("key", "value")
        let beyond = stage.run("watch", "--from", "4", "-w", "0")
        #expect(beyond.code == 64 && beyond.error.contains("the last one is 2"), "\(beyond)")
        #expect(stage.run("watch", "--from", "0", "-w", "0").code == 64)
        #expect(stage.run("watch", "--from", "x").code == 64)
        #expect(stage.run("watch", "key").code == 64)
    }

    @Test func aStoreWithoutAJournalSaysHowToMakeOne() {
        for _ in 0..<2 {
            let outcome = stage.run("watch", "-w", "0")
            #expect(outcome.code == 78, "\(outcome)")
            #expect(outcome.error.contains("flock-cache init --journal"), "\(outcome)")
            stage.publish("key", "value")
            _ = stage.run("remove", "key")
        }
    }

    @Test func settingsCannotBeChanged() {
        #expect(stage.run("init", "--journal").code == 0)
        #expect(stage.run("init", "--journal").code == 0)
        let other = stage.run("init")
        #expect(
            other.code == 73 && other.error.contains("with a journal of its changes"), "\(other)")
        var second = Stage()
        second.variables["FLOCK_CACHE_DIR"] = second.directory("plain")
        #expect(second.run("init").code == 0)
        let plain = second.run("init", "--journal")
        #expect(plain.code == 73 && plain.error.contains("without a journal"), "\(plain)")
    }

    /// What was not told for a year is of no use any more, and `reap` says how long that is.
    @Test func reapingTrimsWhatIsOld() {
        #expect(stage.run("init", "--journal").code == 0)
        stage.publish("key", "value")
        #expect(stage.run("reap", "--max-age", "0").code == 0)
        // The last segment stays.
        #expect(lines("--from", "1").count == 3)
    }
}
