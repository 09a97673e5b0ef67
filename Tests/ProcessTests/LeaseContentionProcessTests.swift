import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Many that want one lease, some of them killed or stopped; and clocks that are wrong.
@Suite(.ownThreads) struct LeaseContentionProcessTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// At no instant two take themselves for the one in charge; 10 seconds in the long form.
    @Test func atMostOneIsInCharge() throws {
        var random = Seeded("LeaseContentionTests")
        let milliseconds = wantsLongTests ? 10_000 : 2_000
        let log = directory("log")
        func start() -> PeerProcess {
            let peer = PeerProcess(path)
            let seed = UInt64.random(in: 0...1 << 40, using: &random)
            peer.process.tell("lease-storm \(seed) \(milliseconds) key \(log)")
            return peer
        }
        var peers = (0..<20).map { _ in start() }
        let begin = BootTime.now
        var (kills, stops) = (0, 0)
        while begin.milliseconds() < Double(milliseconds) {
            let index = Int.random(in: 0..<20, using: &random)
            if Bool.random(using: &random) {
                peers[index].kill()
                peers[index] = start()
                kills += 1
            } else {
                peers[index].process.kill(SIGSTOP)
                usleep(UInt32.random(in: 1000...60_000, using: &random))
                peers[index].process.kill(SIGCONT)
                stops += 1
            }
        }
        var grants = 0
        for peer in peers {
            let words = (peer.process.line() ?? "").split(separator: " ")
            #expect(words.first == "done", "\(words)")
            grants += words.count == 3 ? Int(words[1]) ?? 0 : 0
        }
        let text = String(decoding: try #require(contents(of: log)), as: UTF8.self)
        var moments: [(time: Int64, generation: UInt64)] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 2, let generation = UInt64(words[0]), let time = Int64(words[1])
            else {
                Issue.record("\(line)")
                continue
            }
            moments.append((time, generation))
        }
        moments.sort { $0 < $1 }
        var highest: UInt64 = 0
        var wrong = 0
        for moment in moments {
            // One with a lower number in charge after one with a higher: two at once.
            if moment.generation < highest { wrong += 1 }
            highest = max(highest, moment.generation)
        }
        let holders = Set(moments.map(\.generation)).count
        print(
            "\(grants) grants, \(holders) in charge, \(moments.count) moments, \(kills) kills, \(stops) stops"
        )
        #expect(wrong == 0 && holders > 20 && kills > 3 && stops > 3)
    }

    /// What shows that there are not two would show two.
    @Test func twoInChargeWouldBeSeen() throws {
        let log = directory("log")
        let peers = ["one", "two"].map { PeerProcess(directory($0)) }
        for (index, peer) in peers.enumerated() {
            peer.process.tell("lease-storm \(index) 300 key \(log)")
        }
        for peer in peers { #expect(peer.process.line()?.hasPrefix("done ") == true) }
        let text = String(decoding: try #require(contents(of: log)), as: UTF8.self)
        var moments = text.split(separator: "\n").compactMap { line -> (Int64, UInt64)? in
            let words = line.split(separator: " ").compactMap { UInt64($0) }
            return words.count == 2 ? (Int64(words[1]), words[0]) : nil
        }
        moments.sort { $0.0 < $1.0 }
        let falls = zip(moments, moments.dropFirst()).count { $0.1 > $1.1 }
        #expect(falls > 5)
    }

    // MARK: Clocks

    /// Two hours and ten years off, both ways, of the one who has it and of the one who waits.
    @Test(arguments: ["7200", "-7200", "315360000", "-315360000"], [true, false])
    func aWrongWallClockChangesNothing(_ shift: String, _ isHolder: Bool) throws {
        let wrong = PeerProcess(path, environment: ["FLOCK_CACHE_WALL_CLOCK": shift])
        let right = PeerProcess(path)
        try expectItsTime(holder: isHolder ? wrong : right, waiter: isHolder ? right : wrong)
    }

    @Test(
        .enabled(if: canUnshareTime, "needs root and time namespaces"), arguments: [true, false])
    func anotherTimeNamespaceChangesNothing(_ isHolder: Bool) throws {
        for seconds in [100_000, -1000] {
            let other = PeerProcess(
                path, wrapper: inTimeNamespace(shiftedBy: seconds),
                environment: ["FLOCK_CACHE_WALL_CLOCK": "7200"])
            let here = PeerProcess(path)
            try expectItsTime(holder: isHolder ? other : here, waiter: isHolder ? here : other)
        }
    }

    /// The next one gets it when its time is over, not before and not much later.
    private func expectItsTime(holder: PeerProcess, waiter: PeerProcess) throws {
        let milliseconds = 250.0
        var late: [Double] = []
        for _ in 0..<3 {
            let start = BootTime.now
            #expect(holder.ask("lease 250 30000 key").hasPrefix("granted "))
            let granted = BootTime.now
            #expect(waiter.ask("lease 250 30000 key").hasPrefix("granted "))
            // The holder's time began between the two.
            #expect(start.milliseconds() >= milliseconds)
            late.append(granted.milliseconds() - milliseconds)
            #expect(holder.ask("lease-renew") == "lost")
            #expect(waiter.ask("lease-release") == "released")
            #expect(holder.ask("lease-release") == "lost")
        }
        print("late by \(late) ms")
        #expect(late.min() ?? 1000 < 100)
    }

    /// On a network another machine's lease that looks over is believed after its time by our own clock, also
    /// when those who look only come from time to time.
    @Test func anotherMachinesLeaseIsWatchedForItsTime() throws {
        let variables = ["FLOCK_CACHE_FILE_SYSTEM": "26985"]
        func makeForeign() throws {
            let opened = try Store(at: path).session.forWriting()
            let name = try EntryName("key")
            guard let file = try opened.leaseFile(name, making: false),
                var cell = try file.slot(0).cell
            else { throw Unexpected("no lease") }
            cell.place = Place(
                boot: BootID(high: 1, low: 2), processNamespace: 1, timeNamespace: 1)
            cell.deadline = LeaseTime(Stamp(wall: 1, boot: 1))
            try file.write(cell, in: 0, durably: false)
        }
        let first = PeerProcess(path, environment: variables)
        #expect(first.ask("lease 400 0 key").hasPrefix("granted "))
        try makeForeign()
        #expect(PeerProcess(path, environment: variables).ask("lease 400 0 key") == "busy")
        let start = BootTime.now
        // Renewed over there: its time begins anew.
        usleep(100_000)
        try makeForeign()
        let watcher = PeerProcess(path, environment: variables)
        #expect(watcher.ask("lease 400 0 key") == "busy")
        let seen = BootTime.now
        #expect(watcher.ask("lease 400 30000 key").hasPrefix("granted "))
        #expect(start.milliseconds() >= 500 && seen.milliseconds() < 5000)
        // Nothing is left of it.
        let shard = path + "/leases/" + names(in: path + "/leases")[0]
        #expect(names(in: shard) == ["key"])
        // Here, on a local file system, another boot is over.
        try makeForeign()
        #expect(try Store(at: path).tryLease("key") != nil)
    }

    // MARK: Cells

    /// What was killed or cut before a sighting was written is written over.
    @Test func anEmptySightingIsWrittenOver() throws {
        let variables = ["FLOCK_CACHE_FILE_SYSTEM": "26985"]
        let peer = PeerProcess(path, environment: variables)
        #expect(peer.ask("lease 400 0 key").hasPrefix("granted "))
        try replaceLease(of: "key", in: path) { cell in
            cell.place = Place(
                boot: BootID(high: 1, low: 2), processNamespace: 1, timeNamespace: 1)
            cell.deadline = LeaseTime(Stamp(wall: 1, boot: 1))
        }
        #expect(PeerProcess(path, environment: variables).ask("lease 400 0 key") == "busy")
        let shard = path + "/leases/" + names(in: path + "/leases")[0]
        let sighting = try #require(names(in: shard).first { $0.hasPrefix(".seen-") })
        write([], to: shard + "/" + sighting)
        let watcher = PeerProcess(path, environment: variables)
        #expect(watcher.ask("lease 400 0 key") == "busy")
        #expect(size(of: shard + "/" + sighting) == 256)
        #expect(watcher.ask("lease 400 30000 key").hasPrefix("granted "))
    }
}
