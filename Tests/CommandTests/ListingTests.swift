import Testing
import TestSupport

@testable import TestHelpers

/// Listings and counts of stores that are not small.
@Suite(.ownThreads) struct ListingTests {
    @Test func aLineOfAListingIsFiveFields() throws {
        let stage = Stage()
        stage.publish("ready", "seven b")
        let pending = try #require(stage.run("claim", "pend/ing").generation)
        let lines = stage.run("list").text.split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        #expect(lines.allSatisfy { $0.count == 5 })
        let ready = try #require(lines.first { $0[0] == "ready" })
        #expect(ready[1] == "ready" && UInt64(ready[2]) != nil && UInt64(ready[3]) != nil)
        #expect(ready[4] == "7")
        let claim = try #require(lines.first { $0[0] == "pending" })
        #expect(claim[1] == "pend%2Fing" && claim[2] == "\(pending)")
        #expect(claim[4].hasPrefix("pid "))
        #expect(stage.run("list", "--ready").text.split(separator: "\n").count == 1)
        #expect(stage.run("list", "--pending").text.hasPrefix("pending\tpend%2Fing\t"))
        #expect(stage.run("list", "--prefix", "pend/").text.hasPrefix("pending\t"))
        #expect(stage.run("list", "--prefix", "pend%").output.isEmpty)
    }

    @Test func aValueThatIsComputedAnewIsListedAndCountedAsBoth() {
        let stage = Stage()
        stage.publish("k", "old")
        #expect(stage.run("claim", "--max-age", "0", "k").code == 0)
        let states = stage.run("list").text.split(separator: "\n").map { $0.prefix { $0 != "\t" } }
        #expect(states.sorted() == ["pending", "ready"])
        #expect(stage.run("list", "-0").output == Array("k\0".utf8))
        #expect(stage.run("stats").text.hasPrefix("pending 1\nready 1\n"))
    }

    @Test func statsAreTheCountsAndTheSizesOfTheFiles() throws {
        let stage = Stage()
        stage.publish("a", "1")
        stage.publish("b", String(repeating: "x", count: 1000))
        stage.run("claim", "c")
        let bytes = try stage.record("a").count + stage.record("b").count
        #expect(stage.run("stats").text == "pending 1\nready 2\nbytes \(bytes)\n")
        #expect(
            stage.run("--json", "stats").text
                == "{\"pending\":1,\"ready\":2,\"bytes\":\(bytes),\"damaged\":0,\"exact\":true}\n")
        stage.run("remove", "b", "a")
        stage.run("abandon", "c")
        #expect(stage.run("stats").text == "pending 0\nready 0\nbytes 0\n")
    }
}
