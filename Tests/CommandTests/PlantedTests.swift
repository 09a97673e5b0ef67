import Glibc
import Testing
import TestSupport

@testable import TestHelpers

@Suite(.ownThreads) struct PlantedTests {
    /// The low 8 bits of FNV-1a 64: keys that share a shard share its mutex and its listing.
    private func shard(_ key: String) -> UInt64 {
        key.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } & 0xff
    }

    @Test(arguments: ["entries", "locks", "damaged"])
    func aLinkInThePlaceOfADirectoryIsRefused(part: String) throws {
        let stage = Stage()
        stage.publish("k", "v")
        let path = try #require(stage.entryFile("k"))
        write("not a record".utf8, to: path)
        removeTree(stage.store + "/damaged")
        mkdir(stage.directory("elsewhere"), 0o700)
        rename("\(stage.store)/\(part)", stage.directory("elsewhere/\(part)"))
        symlink(stage.directory("elsewhere"), "\(stage.store)/\(part)")
        let before = names(in: stage.directory("elsewhere"))
        // Each has to use the part: to look, to lock, or to set aside.
        let outcome = stage.run("claim", "k")
        #expect(outcome.code == 66, "\(outcome)")
        #expect(outcome.error.contains("\(stage.store)/\(part)"), "\(outcome)")
        #expect(names(in: stage.directory("elsewhere")) == before)
    }

    @Test func aLinkInThePlaceOfTheMarkerIsRefused() {
        let stage = Stage()
        stage.publish("k", "v")
        rename(stage.store + "/flock-cache", stage.directory("marker"))
        symlink(stage.directory("marker"), stage.store + "/flock-cache")
        for command in ["claim", "get"] { #expect(stage.run(command, "k").code == 66) }
    }

    @Test func strangeFilesInAShardArePassedOver() throws {
        let stage = Stage()
        stage.publish("k", "v")
        let shard = try #require(stage.entryFile("k")).dropLast(2)
        for name in ["UPPER lower", "%zz", "%6b", ".hidden", "k~", "#k#", "é"] {
            write("x".utf8, to: shard + "/" + name)
        }
        let list = stage.run("list")
        #expect(list.code == 0, "\(list)")
        #expect(list.text.split(separator: "\n").count == 1, "\(list)")
        #expect(stage.run("reap", "--max-age", "0").text == "k\ttoo-old\n")
        #expect(names(in: String(shard)).count == 7)
    }
}
