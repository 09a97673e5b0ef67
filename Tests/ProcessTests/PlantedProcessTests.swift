import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Something that is no record and stands in the place of one.
enum Planted: String, CaseIterable, Sendable {
    case link, linkToNowhere, fifo, directory, device

    func make(at path: String, _ stage: Stage) {
        switch self {
        case .link:
            write("outside".utf8, to: stage.directory("outside"))
            symlink(stage.directory("outside"), path)
        case .linkToNowhere: symlink(stage.directory("nowhere"), path)
        case .fifo: mkfifo(path, 0o600)
        case .directory: mkdir(path, 0o700)
        case .device: symlink("/dev/zero", path)
        }
    }

    /// A symbolic link cannot be opened at all; what can be opened and is no file counts as damaged.
    var isLink: Bool { self == .link || self == .linkToNowhere || self == .device }
}

@Suite(.ownThreads) struct PlantedProcessTests {
    private static let commands = [
        "get k", "claim k", "claim -w 100ms k", "finalize k v", "abandon k", "remove k", "list",
        "stats",
        "reap", "reap --max-age 0", "reap --max-entries 0",
    ]

    /// The low 8 bits of FNV-1a 64: keys that share a shard share its mutex and its listing.
    private func shard(_ key: String) -> UInt64 {
        key.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } & 0xff
    }

    private func neighbours(of key: String, _ count: Int) -> [String] {
        Array(
            (0...).lazy.map { "n\($0)" }.filter { shard($0) == shard(key) }.prefix(count))
    }

    @Test(arguments: Planted.allCases, ["k", "k.pending"])
    func whatIsPlantedIsRefusedAndTheOthersGoOn(planted: Planted, name: String) throws {
        let stage = Stage()
        let near = neighbours(of: "k", 2)
        stage.publish(near[0], "whole")
        // A claim of a dead owner, for the reaper.
        stage.script("flock-cache claim \(near[1]); true")
        let shard = try #require(stage.entryFile(near[0])).dropLast(near[0].count + 1)
        let path = "\(shard)/\(name)"
        for command in Self.commands {
            // An earlier command may have moved it out of the way, or claimed beside it.
            for name in ["k", "k.pending"] { removeTree("\(shard)/\(name)") }
            planted.make(at: path, stage)
            let outcome = stage.script("timeout 20 flock-cache \(command)")
            // 124 would be a hang, but for the wait that was asked for.
            let allowed: [Int32] =
                switch command {
                case "list", "stats", "abandon k": [0, 66]
                case "get k": [65, 66]
                case _ where command.hasPrefix("reap"): [0]
                case _ where name == "k" && !planted.isLink: [0, 66]
                default: [66]
                }
            #expect(allowed.contains(outcome.code), "\(command): \(outcome)")
            if outcome.code == 66 {
                #expect(outcome.error.contains(path), "\(command): \(outcome)")
                #expect(outcome.error.contains("nothing was touched"), "\(command): \(outcome)")
            }
            switch command {
            case "list":
                #expect(outcome.code == 0, "\(outcome)")
                #expect(outcome.text.contains("\t\(near[0])\t"), "\(outcome)")
                #expect(
                    outcome.error.contains("k"), "a listing says what it passed over: \(outcome)")
            case "stats": #expect(outcome.code == 0, "\(outcome)")
            case "reap": #expect(outcome.text == "\(near[1])\tdead-process\n", "\(outcome)")
            case "reap --max-age 0": #expect(outcome.text.contains(near[0]), "\(outcome)")
            default: break
            }
        }
        // Nothing outside was written through a link.
        if planted == .link {
            #expect(contents(of: stage.directory("outside")) == Array("outside".utf8))
        }
        #expect(access(stage.directory("nowhere"), F_OK) != 0)
    }
}
