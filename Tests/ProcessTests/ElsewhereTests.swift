import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Claims of another machine on a network file system, whose clocks say nothing here.
@Suite(.ownThreads) struct ElsewhereTests {
    private var stage = Stage()

    init() { stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = "26985" }

    /// Makes a claim that is stale after 400 ms, and makes it another machine's, whose clock is ahead by so many seconds.
    private func claimElsewhere(ahead seconds: Int64) throws {
        let claim = stage.run("claim", "key", "--owner", "none", "--stale-after", "400ms")
        #expect(claim.code == 0, "\(claim)")
        try move(ahead: seconds)
    }

    private func move(ahead seconds: Int64) throws {
        let file = try #require(stage.entryFile("key.pending"))
        let text = try stage.record("key.pending")
        let parsed = unsafe text.withUnsafeBytes { unsafe ClaimSection.parse($0)?.section }
        var claim = try #require(parsed)
        claim.place = Place(
            boot: BootID(high: 1, low: 2), processNamespace: 1, timeNamespace: 1)
        claim.deadline = Stamp(
            wall: Stamp.now.wall + seconds * 1_000_000, boot: (claim.deadline?.boot ?? 0) + 1)
        write(claim.text, to: file)
    }

    @Test(arguments: [3600, -3600, 365 * 86400] as [Int64])
    func aWrongClockNeitherEndsNorProlongsAClaim(seconds: Int64) throws {
        try claimElsewhere(ahead: seconds)
        let start = BootTime.now
        #expect(stage.run("claim", "key").code == 75)
        let claim = stage.run("claim", "key", "-w", "30s")
        #expect(claim.code == 0, "\(claim)")
        #expect(start.milliseconds() >= 400)
    }

    /// Commands that end add up, by a file.
    @Test func jobsThatLookFromTimeToTimeAddUp() throws {
        try claimElsewhere(ahead: -3600)
        #expect(stage.run("claim", "key").code == 75)
        let seen = BootTime.now
        sleep(until: seen.advanced(by: .milliseconds(400)))
        #expect(stage.run("claim", "key").code == 0)
        #expect(!sightings.contains { $0.hasPrefix(".seen-") }, "nothing is left of it")
    }

    private var sightings: [String] {
        names(in: stage.store + "/leases").flatMap { names(in: "\(stage.store)/leases/\($0)") }
    }

    /// What was renewed over there is seen anew.
    @Test func aRenewalBeginsTheTimeAgain() throws {
        try claimElsewhere(ahead: -3600)
        #expect(stage.run("claim", "key").code == 75)
        try move(ahead: -3000)
        let renewed = BootTime.now
        #expect(stage.run("claim", "key", "-w", "30s").code == 0)
        #expect(renewed.milliseconds() >= 400)
    }

    /// One who may not write sees it for the first time each time, and takes it for one that stands.
    @Test func aReaderWaits() throws {
        try claimElsewhere(ahead: -3600)
        #expect(stage.run("get", "key").code == 75)
        #expect(stage.run("list", "--pending").text.hasPrefix("pending\tkey\t"))
    }

    /// The client remembers names, and asks the server for them below a directory that is opened anew.
    @Test(.enabled(if: isInstalled("strace"), "needs strace"))
    func aLeaseIsLookedForInAFreshDirectory() throws {
        let lease = stage.run("lease", "acquire", "key", "--ttl", "1h")
        let generation = String(try #require(lease.generation))
        for action in ["check", "renew", "release"] {
            let log = stage.directory("trace-" + action)
            let outcome = TestSupport.run(
                "strace",
                [
                    "-o", log, builtProducts + "/flock-cache", "lease", action, "key",
                    "--generation",
                    generation,
                ], environment: stage.variables)
            #expect(outcome.code == 0, "\(outcome)")
            let calls = String(decoding: contents(of: log) ?? [], as: UTF8.self)
                .split(separator: "\n").filter { $0.contains("\"leases/") }
            let record = try #require(calls.firstIndex { $0.contains("/key\"") }, "\(calls)")
            let directory = calls.firstIndex { $0.contains("O_DIRECTORY") } ?? .max
            #expect(directory < record, "\(action): \(calls)")
        }
    }

    /// Whether a lease of another machine is current is not asked of the clocks either.
    @Test func aLeaseIsCurrentUntilItWasSeenUnchanged() throws {
        let lease = stage.run("lease", "acquire", "key", "--ttl", "400ms")
        let generation = String(try #require(lease.generation))
        try replaceLease(of: "key", in: stage.store) { cell in
            cell.place = Place(
                boot: BootID(high: 1, low: 2), processNamespace: 1, timeNamespace: 1)
            cell.deadline = LeaseTime(Stamp(wall: 1, boot: 1))
        }
        #expect(stage.run("lease", "check", "key", "--generation", generation).code == 0)
        let seen = BootTime.now
        sleep(until: seen.advanced(by: .milliseconds(400)))
        #expect(stage.run("lease", "check", "key", "--generation", generation).code == 76)
    }
}
