import FlockCache
import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// What happens to a session that lives on while somebody takes its store apart.
@Suite(.ownThreads) struct RemovedStoreTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// A cron job that deletes empty directories takes those of idle shards with it.
    @Test func aShardDirectoryThatWasRemovedIsFoundAgain() throws {
        let session = try Store(at: path)
        #expect(try session.claimAndFinalize("key", "old".utf8).isWon)
        #expect(try session.remove("key"))
        _ = run("find", [path, "-type", "d", "-empty", "-delete"], environment: [:])
        #expect(try Store(at: path).claimAndFinalize("key", "new".utf8).isWon)
        #expect(try session.bytes(of: "key") == Array("new".utf8))

        #expect(try session.remove("key"))
        _ = run("find", [path, "-type", "d", "-empty", "-delete"], environment: [:])
        #expect(try session.claimAndFinalize("key", "newer".utf8).isWon)
        #expect(try Store(at: path).bytes(of: "key") == Array("newer".utf8))
    }

    @Test func aStoreThatWasEmptiedAndMadeAnewIsSeenAsItIs() throws {
        let session = try Store(at: path)
        #expect(try session.claimAndFinalize("key", "old".utf8).isWon)
        #expect(try session.counts().ready == 1)
        for name in names(in: path) { removeTree(path + "/" + name) }
        let other = try Store(at: path)
        for number in 0..<3 {
            #expect(try other.claimAndFinalize(Store.Key("other-\(number)"), "new".utf8).isWon)
        }
        #expect(try session.bytes(of: "key") == nil)
        #expect(try session.bytes(of: "other-1") == Array("new".utf8))
        #expect(try session.counts().ready == 3)
        #expect(try session.claimAndFinalize("key", "new".utf8).isWon)
        #expect(try other.counts().ready == 4)
    }

    @Test func aStoreThatWasRemovedHasNoEntriesAndIsMadeByTheNextClaim() throws {
        let session = try Store(at: path)
        #expect(try session.claimAndFinalize("key", "old".utf8).isWon)
        removeTree(path)
        #expect(try session.counts().ready == 0)
        #expect(try session.bytes(of: "key") == nil)
        #expect(try session.claimAndFinalize("key", "new".utf8).isWon)
        #expect(try Store(at: path).bytes(of: "key") == Array("new".utf8))
    }

    /// What a killed maker left goes, what a maker may still be about to link stays.
    @Test func markersThatKilledMakersLeftAreReapedAfterAnHour() throws {
        let session = try Store(at: path)
        #expect(try session.claimAndFinalize("key", "value".utf8).isWon)
        write(Array("flock-cache 1\n".utf8), to: path + "/.flock-cache-old")
        write(Array("flock-cache 1\n".utf8), to: path + "/.flock-cache-new")
        _ = run("touch", ["-d", "2 hours ago", path + "/.flock-cache-old"], environment: [:])
        #expect(try session.reap(dryRun: true).isEmpty)
        #expect(names(in: path).contains(".flock-cache-old"))
        #expect(try session.reap().isEmpty)
        #expect(!names(in: path).contains(".flock-cache-old"))
        #expect(names(in: path).contains(".flock-cache-new"))
    }
}
