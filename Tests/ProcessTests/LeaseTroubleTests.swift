import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Leases where calls fail, files have a limit, and other machines share the store.
@Suite(.ownThreads) struct LeaseTroubleTests {
    private let stage = Stage()
    private var path: String { stage.store }

    private func acquire(_ key: String, _ options: String...) throws -> String {
        let outcome = TestSupport.run(
            builtProducts + "/flock-cache", ["lease", "acquire", key] + options,
            environment: stage.variables)
        return String(try #require(outcome.generation, "\(outcome)"))
    }

    /// Wherever the limit is, what is there afterwards is what was there before or what was asked for.
    @Test(.enabled(if: isInstalled("prlimit")))
    func aLimitOnFileSizesLeavesTheRecordReadable() throws {
        let generation = try acquire("key", "--ttl", "1h")
        for limit in [512, 513, 700, 1023, 1024] {
            let outcome = TestSupport.run(
                "prlimit",
                [
                    "--fsize=\(limit)", builtProducts + "/flock-cache", "lease", "renew", "key",
                    "--generation", generation,
                ], environment: stage.variables)
            #expect([0, 74].contains(outcome.code), "\(limit): \(outcome)")
            #expect(stage.run("lease", "check", "key", "--generation", generation).code == 0)
            #expect(stage.run("lease", "acquire", "key", "--ttl", "1h").code == 75)
        }
        #expect(stage.run("lease", "renew", "key", "--generation", generation).code == 0)
        #expect(stage.run("lease", "release", "key", "--generation", generation).code == 0)
    }

    @Test func aCorruptRecordIsToldOnce() throws {
        let generation = try acquire("key", "--ttl", "2s")
        #expect(stage.run("lease", "renew", "key", "--generation", generation).code == 0)
        let shard = path + "/leases/" + names(in: path + "/leases")[0]
        var bytes = try #require(contents(of: shard + "/key"))
        bytes[700] ^= 1
        write(bytes, to: shard + "/key")
        #expect(stage.run("who").text.hasPrefix("lease\tkey\t-\t-\t"))
        let first = stage.run("lease", "acquire", "key", "--ttl", "2s")
        #expect(first.code == 65 && first.error.contains("damaged/key."), "\(first)")
        #expect(stage.run("lease", "acquire", "key", "--ttl", "2s").code == 75)
        #expect(stage.run("list", "--damaged").text.contains("key"))
        #expect(stage.run("lease", "renew", "key", "--generation", generation).code == 76)
        #expect(stage.run("lease", "acquire", "key", "--ttl", "2s", "-w", "1m").code == 0)
    }

    // MARK: Other machines

    private let network = ["FLOCK_CACHE_FILE_SYSTEM": "26985"]

    /// Makes the lease one of another machine, whose clock is ahead by so many seconds.
    private func move(_ key: Store.Key, ahead seconds: Int64 = 0) throws {
        try replaceLease(of: key, in: path) { cell in
            cell.place = Place(
                boot: BootID(high: 1, low: 2), processNamespace: 1, timeNamespace: 1)
            let now = LeaseTime.now.stamp.wall
            cell.deadline = LeaseTime(
                Stamp(wall: now + seconds * 1_000_000 + (cell.timeToLive ?? 0), boot: 1))
        }
    }

    /// Its deadline is a year away: it ends after its time to live all the same.
    @Test func aClockThatIsAheadProlongsNothing() throws {
        let peer = PeerProcess(path, environment: network)
        #expect(peer.ask("lease 400 0 key").hasPrefix("granted "))
        try move("key", ahead: 365 * 86400)
        let start = BootTime.now
        let watcher = PeerProcess(path, environment: network)
        #expect(watcher.ask("lease 400 30000 key").hasPrefix("granted "))
        #expect(start.milliseconds() >= 400)
    }

    /// One process waits all the time, while the lease is renewed elsewhere; then it is not any more.
    @Test func aWaiterSeesTheEndOfWhatWasRenewed() throws {
        let peer = PeerProcess(path, environment: network)
        #expect(peer.ask("lease 500 0 key").hasPrefix("granted "))
        try move("key")
        let watcher = PeerProcess(path, environment: network)
        watcher.process.tell("lease 500 30000 key")
        let shard = path + "/leases/" + names(in: path + "/leases")[0]
        func isSeen() -> Bool { names(in: shard).contains { $0.hasPrefix(".seen-") } }
        #expect(waitUntil { isSeen() })
        try move("key")
        let renewed = BootTime.now
        #expect(watcher.process.line()?.hasPrefix("granted ") == true)
        #expect(renewed.milliseconds() >= 499)
    }

    // MARK: Claims that are kept

    /// Stopped for longer than its time, a computation is taken over, and publishes nothing.
    @Test func aStoppedRunIsTakenOver() throws {
        let holder = Child(
            builtProducts + "/flock-cache",
            ["run", "key", "--stale-after", "300ms", "--", "bash", "-c", "echo begun; read line"],
            environment: stage.variables)
        #expect(holder.line() == "begun")
        holder.kill(SIGSTOP)
        #expect(holder.waitForStop())
        let rival = stage.run("run", "key", "-w", "30s", "--", "echo", "rival")
        #expect(rival.code == 0 && rival.text == "rival\n", "\(rival)")
        holder.kill(SIGCONT)
        holder.tell("")
        let outcome = holder.finish()
        #expect(outcome.code == 76, "\(outcome)")
        #expect(stage.run("get", "key").text == "rival\n")
    }

    /// COMMAND takes five times the time after which its claim would be stale.
    @Test func runRenewsItsClaim() throws {
        let holder = Child(
            builtProducts + "/flock-cache",
            ["run", "key", "--stale-after", "600ms", "--", "bash", "-c", "echo begun; read line"],
            environment: stage.variables)
        #expect(holder.line() == "begun")
        let start = BootTime.now
        while start.milliseconds() < 3000 {
            #expect(stage.run("claim", "key").code == 75)
            usleep(20_000)
        }
        holder.tell("")
        #expect(holder.finish().code == 0)
        #expect(stage.run("get", "key").text == "begun\n")
    }
}
