import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Reaping removes what is stale, all of it, and nothing else.
@Suite(.ownThreads) struct ReapProcessTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    private typealias Reason = Store.Reaped.Reason

    private func reasons(_ reaped: [Store.Reaped]) -> [Store.Key: Reason] {
        Dictionary(uniqueKeysWithValues: reaped.map { ($0.key, $0.reason) })
    }

    /// A process that has ended, as a claim would name it.
    private func deadProcess() throws -> ProcessIdentity {
        let child = Child("sleep", ["1000"])
        defer {
            child.kill(SIGKILL)
            _ = child.wait()
        }
        return try #require(try ProcessIdentity(of: child.id))
    }

    /// Stale in every way there is; returns what reaping is to say.
    ///
    /// Kept are live claims and values.
    private func populate(_ store: Store) throws -> (expected: [Store.Key: Reason], live: Kept) {
        let peer = PeerProcess(path)
        #expect(peer.ask("claim dead-session").hasPrefix("won "))
        peer.exit()
        _ = try store.claim("dead-process", for: deadProcess())
        let alive = try #require(try ProcessIdentity(of: getpid()))
        var rebooted = try #require(
            Self.section(of: file(of: "dead-process", in: path) + ".pending"))
        rebooted.name = Array("rebooted".utf8)
        rebooted.holder = .process(alive)
        rebooted.place = Place(
            boot: BootID(high: 1, low: 2), processNamespace: rebooted.place.processNamespace,
            timeNamespace: rebooted.place.timeNamespace)
        try plant(rebooted)
        _ = try store.session.claim("expired", for: .nobody, maxAge: nil, staleAfter: .zero)
        _ = try store.session.claim(
            "torn", for: .process(alive, command: []), maxAge: nil, staleAfter: nil)
        write(Array("flock-cache 1\nkey: to".utf8), to: try file(of: "torn", in: path) + ".pending")
        // What a killed finalize left goes without a word.
        #expect(try store.claimAndFinalize("with-debris", "value".utf8).isWon)
        var debris = try #require(Self.section(of: file(of: "with-debris", in: path)))
        debris.generation -= 1
        try plant(debris)
        write([], to: try neighbour(".tmp-00000000000000ff-1", of: "torn", in: path))
        let live = try #require(try store.win("live"))
        _ = try store.claim("live-process", for: alive)
        // Planted past the library: everything is to be counted anew.
        write([], to: path + "/locks/shards")
        return (
            [
                "dead-session": .deadSession, "dead-process": .deadProcess, "rebooted": .rebooted,
                "expired": .expired, "torn": .torn,
            ], live
        )
    }

    private static func section(of path: String) -> ClaimSection? {
        contents(of: path).flatMap { $0.withUnsafeBytes { ClaimSection.parse($0)?.section } }
    }

    private func plant(_ claim: ClaimSection) throws {
        let key = Store.Key(try #require(PercentCode.decode(claim.name)))
        mkdir(try neighbour("", of: key, in: path), 0o700)
        write(claim.text, to: try file(of: key, in: path) + ".pending")
    }

    @Test func everythingStaleIsRemovedAndNothingElse() throws {
        let store = try Store(at: path)
        let (expected, live) = try populate(store)
        // Counting removes what a killed finalize left.
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        let before = snapshot()
        #expect(reasons(try store.reap(dryRun: true)) == expected)
        #expect(snapshot() == before, "a dry run changes nothing")
        #expect(reasons(try store.reap()) == expected)
        #expect(try store.reap().isEmpty, "twice finds nothing more")
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(leftovers(in: path).sorted() == ["live-process.pending", "live.pending"])
        #expect(try store.bytes(of: "with-debris") == Array("value".utf8))
        try live.finalize("value".utf8)
        for key in expected.keys { #expect(try store.claimAndFinalize(key, []).isWon) }
    }

    /// Names and contents of everything but the blocks, which count anew what was planted.
    private func snapshot() -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for shard in names(in: path + "/entries") {
            for name in names(in: "\(path)/entries/\(shard)") {
                found["\(shard)/\(name)"] = contents(of: "\(path)/entries/\(shard)/\(name)") ?? []
            }
        }
        return found
    }

    @Test func twoReapersAtOnceRemoveEachClaimOnce() throws {
        for round in 0..<5 {
            let peer = PeerProcess(path)
            #expect(peer.ask("claim-many 100 \(round)") == "won 100")
            peer.exit()
            let barrier = Barrier(2)
            let results = inThreads(2) { _ -> [Store.Key]? in
                guard let store = try? Store(at: path) else { return nil }
                barrier.wait()
                return (try? store.reap()).map { $0.map(\.key) }
            }
            let reaped = results.flatMap { $0 ?? [] }
            #expect(!results.contains { $0 == nil })
            #expect(reaped.count == 100 && Set(reaped).count == 100)
            #expect(leftovers(in: path).isEmpty)
        }
        #expect(try Store(at: path).counts().pending == 0)
    }

    // MARK: Eviction
}
