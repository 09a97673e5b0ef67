import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What a lease promises to one program, and what it refuses to one that comes too late.
@Suite(.ownThreads) struct LeaseProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private func makeStore() throws -> Store { try Store(at: path) }

    /// Stopped beyond its time by a signal, as a busy machine or a closed lid would do.
    @Test func aStoppedHolderFindsThatItIsLost() throws {
        let store = try makeStore()
        for _ in 0..<20 {
            let peer = PeerProcess(path)
            #expect(peer.ask("lease 20 30000 key").hasPrefix("granted "))
            peer.process.kill(SIGSTOP)
            #expect(peer.process.waitForStop())
            let next = KeptLease(
                try store.acquireLease("key", timeToLive: .seconds(3600), wait: .upTo(.seconds(30)))
            )
            peer.process.kill(SIGCONT)
            #expect(peer.ask("lease-renew") == "lost" && peer.ask("lease-release") == "lost")
            #expect(try store.isCurrent(next.generation, ofLease: "key"))
            try next.release()
            peer.exit()
        }
    }

    /// Through releases, expiry, removal of the record, and a clock that was set back.
    @Test func generationsRiseForEver() throws {
        let store = try makeStore()
        var last: Store.Generation = 0
        for round in 0..<60 {
            if round % 4 == 3 {
                #expect(unlink(try leaseFile("key")) == 0)
            }
            let shift = ["0", "-315360000", "7200", "-7200"][round / 4 % 4]
            let peer = PeerProcess(path, environment: ["FLOCK_CACHE_WALL_CLOCK": shift])
            let words = peer.ask("lease 1 30000 key").split(separator: " ")
            let generation = words.last.flatMap { UInt64($0) } ?? 0
            #expect(generation > last, "\(words)")
            last = generation
            if round % 2 == 0 { #expect(peer.ask("lease-release") == "released") }
            peer.exit()
        }
        _ = store
    }

    @Test func inAForkedChildItIsInert() throws {
        let peer = PeerProcess(path)
        #expect(peer.ask("lease 60000 0 key").hasPrefix("granted "))
        let answers = [peer.ask("fork"), peer.process.line() ?? ""]
        let child = answers.compactMap { pid_t($0.dropFirst("child ".count)) }.first ?? 0
        try #require(child > 0)
        kill(child, SIGTERM)
        #expect(try makeStore().tryLease("key") == nil)
        #expect(peer.ask("lease-renew") == "renewed" && peer.ask("lease-release") == "released")
    }

    private func leaseFile(_ key: Store.Key) throws -> String {
        try makeStore().session.forWriting().leasePath(try EntryName(key))
    }
}
