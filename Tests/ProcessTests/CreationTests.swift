import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Many processes that meet before there is a store.
@Suite(.ownThreads) struct CreationTests {
    /// Starts shells that wait for the word, and lets all of them go at once.
    private func atOnce(_ stage: Stage, _ commands: [String]) -> [Outcome] {
        let children = commands.map { stage.start("echo here; read go; exec flock-cache \($0)") }
        for child in children { #expect(child.line() == "here") }
        for child in children { child.closeInput() }
        return children.map { $0.finish() }
    }

    @Test func fiftyProcessesMakeOneStoreAndOneWins() {
        for round in 0..<(wantsLongTests ? 50 : 5) {
            let stage = Stage()
            let outcomes = atOnce(stage, [String](repeating: "claim k", count: 50))
            let winners = outcomes.filter { $0.code == 0 }
            #expect(winners.count == 1, "round \(round)")
            #expect(
                winners.allSatisfy { $0.generation != nil && $0.error.isEmpty }, "round \(round)")
            for outcome in outcomes where outcome.code != 0 {
                #expect(outcome.code == 75, "round \(round): \(outcome)")
                #expect(outcome.error.contains("is busy: claimed"), "round \(round): \(outcome)")
            }
            #expect(
                names(in: stage.store) == ["entries", "flock-cache", "locks"], "round \(round)")
            #expect(stage.run("stats").text.hasPrefix("pending 1\nready 0\n"), "round \(round)")
        }
    }

    // Different keys lie in different shards, so that everything is made by somebody else.
    @Test func fiftyProcessesMakeOneStoreAndEachWinsItsOwnKey() {
        for round in 0..<(wantsLongTests ? 50 : 5) {
            let stage = Stage()
            let outcomes = atOnce(stage, (0..<50).map { "claim k\($0)" })
            for outcome in outcomes {
                #expect(outcome.code == 0, "round \(round): \(outcome)")
                #expect(outcome.error.isEmpty, "round \(round): \(outcome)")
            }
            #expect(stage.run("stats").text.hasPrefix("pending 50\nready 0\n"), "round \(round)")
            #expect(stage.run("list").text.split(separator: "\n").count == 50, "round \(round)")
        }
    }

    @Test func readersThatMeetTheMakingOfAStoreSeeNothingWrong() {
        let lines = ["get k", "list", "stats", "reap", "abandon k", "init", "claim k", "remove j"]
        for round in 0..<(wantsLongTests ? 50 : 5) {
            let stage = Stage()
            let commands = (0..<40).map { lines[$0 % lines.count] }
            let outcomes = atOnce(stage, commands)
            var winners = 0
            for (command, outcome) in zip(commands, outcomes) {
                let allowed: [Int32] =
                    switch command {
                    case "get k": [1, 75]
                    case "claim k": [0, 75]
                    default: [0]
                    }
                #expect(allowed.contains(outcome.code), "round \(round), \(command): \(outcome)")
                if command == "claim k" && outcome.code == 0 { winners += 1 }
            }
            // An abandon by the same owner may have come between two winners.
            #expect(winners >= 1, "round \(round)")
        }
    }

    @Test func ofStoresThatAreMadeWithDifferentSettingsOneIsMade() {
        for round in 0..<(wantsLongTests ? 50 : 5) {
            let stage = Stage()
            let commands = (0..<20).map { $0 % 2 == 0 ? "init --mode 0770" : "init --durable" }
            let outcomes = atOnce(stage, commands)
            let codes = Set(zip(commands, outcomes).map { "\($0.0): \($0.1.code)" })
            let isShared = codes.contains("init --mode 0770: 0")
            #expect(
                codes == [
                    "init --mode 0770: \(isShared ? 0 : 73)",
                    "init --durable: \(isShared ? 73 : 0)",
                ], "round \(round)")
            for outcome in outcomes where outcome.code == 73 {
                #expect(outcome.error.contains("other settings"), "\(outcome)")
            }
        }
    }

    /// A marker that a power cut has torn is written by one, and all others find what it wrote.
    @Test func ofRivalsThatFindATornMarkerOneWritesItAnew() {
        for round in 0..<(wantsLongTests ? 50 : 5) {
            let stage = Stage()
            // With other directories, and with the marker alone.
            if round % 2 == 0 {
                stage.publish("k", "v")
            } else {
                mkdir(stage.store, 0o700)
            }
            write([], to: stage.store + "/flock-cache")
            let lines = ["init", "init --durable", "get k", "claim k", "list", "stats"]
            let commands = (0..<36).map { lines[$0 % (round % 4 < 2 ? 2 : lines.count)] }
            let outcomes = atOnce(stage, commands)
            let text = String(
                decoding: contents(of: stage.store + "/flock-cache") ?? [], as: UTF8.self)
            let isDurable = text.hasSuffix("durable: yes\n")
            #expect(
                text.hasPrefix("flock-cache 1\nmode: 0700\ndurable: "), "round \(round): \(text)")
            for (command, outcome) in zip(commands, outcomes) {
                let allowed: [Int32] =
                    switch command {
                    case "init": [isDurable ? 73 : 0]
                    case "init --durable": [isDurable ? 0 : 73]
                    case "get k": round % 2 == 0 ? [0] : [1, 75]
                    case "claim k": round % 2 == 0 ? [1] : [0, 75]
                    default: [0]
                    }
                #expect(allowed.contains(outcome.code), "round \(round), \(command): \(outcome)")
            }
            #expect(leftovers(in: stage.store).filter { $0.hasPrefix(".flock-cache-") }.isEmpty)
        }
    }
}
