import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// What goes through the whole store goes on past one thing in its way, names it, and fails at its end.
@Suite(.ownThreads) struct PassTests {
    @Test(arguments: ["leases", "damaged"])
    func aLinkInThePlaceOfADirectoryIsAFailureAndTheRestIsDone(part: String) {
        let stage = Stage()
        stage.publish("k", "v")
        symlink("/tmp", "\(stage.store)/\(part)")
        let command = part == "leases" ? "who" : "stats"
        let outcome = stage.run(command)
        #expect(outcome.code == 66 && outcome.error.contains("/\(part)"), "\(outcome)")
        if part == "damaged" { #expect(outcome.text.contains("ready 1"), "\(outcome)") }
        let reap = stage.run("reap", "--max-age", "0")
        #expect(reap.text == "k\ttoo-old\n", "\(reap)")
        #expect(reap.code == (["damaged", "leases"].contains(part) ? 66 : 0), "\(reap)")
    }

    // MARK: Damaged records

    @Test func damagedRecordsAreCountedListedAndRemovedByAge() throws {
        let stage = Stage()
        let long = String(repeating: "%", count: 79) + "x"
        for key in ["k", long, "fine"] { stage.publish(key, "value") }
        for path in stage.entryFiles where !path.hasSuffix("/fine") { write("rot".utf8, to: path) }
        #expect(stage.run("get", "k").code == 65)
        #expect(stage.run("get", long).code == 65)
        write("mine".utf8, to: stage.store + "/damaged/NOTES")
        #expect(stage.run("stats").error.isEmpty)
        let stats = stage.run("stats", "-v")
        #expect(stats.text.hasPrefix("pending 0\nready 1\nbytes "), "\(stats)")
        #expect(stats.error.contains("quarantine: 2;"), "\(stats)")
        #expect(stage.run("--json", "stats").text.contains("\"damaged\":2,\"exact\":true"))
        #expect(stage.run("stats", "--prometheus").text.contains("flock_cache_damaged{"))
        let list = stage.run("list", "--damaged")
        let rows = list.text.split(separator: "\n").map { $0.split(separator: "\t") }
        #expect(rows.count == 2 && rows.allSatisfy { $0.count == 5 && $0[0] == "damaged" })
        #expect(rows.contains { $0[1] == "k" && $0[4] == "3" }, "\(list)")
        #expect(stage.run("list").text.split(separator: "\n").count == 1)
        #expect(stage.run("list", "--damaged", "-0").code == 64)
        // Not yet; then the older one; one from the future is older than any age.
        #expect(stage.run("reap", "--max-age", "1h").text.isEmpty)
        let name = try #require(names(in: stage.store + "/damaged").first { $0.hasPrefix("k.") })
        rename("\(stage.store)/damaged/\(name)", "\(stage.store)/damaged/k.1700000000000000")
        #expect(stage.run("reap", "--max-age", "1h", "--dry-run").text == "k\ttoo-old\n")
        #expect(stage.run("reap", "--max-age", "1h").text == "k\ttoo-old\n")
        write([], to: stage.store + "/damaged/later.9999999999999999")
        #expect(stage.run("reap", "--max-age", "1h").text == "later\ttoo-old\n")
        #expect(stage.run("--json", "stats").text.contains("\"damaged\":1,"))
        let all = stage.run("reap", "--max-age", "0")
        #expect(all.text.split(separator: "\n").count == 2, "\(all)")
        #expect(names(in: stage.store + "/damaged") == ["NOTES"])
    }
}
