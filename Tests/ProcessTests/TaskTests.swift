#if Async

import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// Tasks that wait, in processes of their own: what they cost, and when they go on.
@Suite(.ownThreads) struct TaskTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// What an order said about tasks: how many came to what, and its numbers.
    private func counts(_ answer: String?) -> (told: [String: Int], time: Int, ticks: Int) {
        let words = answer?.split(separator: " ").map(String.init) ?? []
        guard words.count >= 4, words.count % 2 == 0 else { return ([answer ?? "": 1], 0, 0) }
        var told: [String: Int] = [:]
        for index in stride(from: 0, to: words.count - 2, by: 2) {
            told[words[index]] = Int(words[index + 1]) ?? 0
        }
        return (told, Int(words[words.count - 2]) ?? 0, Int(words[words.count - 1]) ?? 0)
    }

    @Test(arguments: [true, false])
    func aThousandTasksWaitWithFewThreadsMore(withABoard: Bool) throws {
        let peer = PeerProcess(path)
        if !withABoard {
            #expect(try Store(at: path).claimAndFinalize("other", [UInt8]()).isWon)
            mkdir(path + "/board", 0o700)
        }
        let answer = peer.ask("tasks-values 1000 100")
        let numbers = answer.split(separator: " ").compactMap { Int($0) }
        print("values, computations, threads more: \(answer)")
        #expect(numbers.prefix(2) == [1000, 100], "\(answer)")
        #expect(numbers.last.map { $0 <= 4 } == true, "\(answer)")
        #expect(StoreFiles(path).pending == 0)
    }

    @Test func cancelledTasksLeaveNothing() throws {
        let (store, peer) = (try Store(at: path), PeerProcess(path))
        let kept = try store.win("key")
        for _ in 0..<3 {
            let answer = peer.ask("tasks-cancel 100 key")
            print("cancelled, milliseconds, threads left: \(answer)")
            let numbers = answer.split(separator: " ").compactMap { Int($0) }
            #expect(numbers.count == 3 && numbers[0] == 100 && numbers[2] == 0, "\(answer)")
            #expect(numbers.count == 3 && numbers[1] < 2000, "\(answer)")
        }
        try kept?.abandon()
        #expect(try store.claimAndFinalize("key", [UInt8]()).isWon, "none of them claimed it")
    }

    @Test(arguments: [true, false])
    func waitsOfTasksEndInTime(withABoard: Bool) throws {
        let (store, peer) = (try Store(at: path), PeerProcess(path))
        let kept = try store.win("key")
        if !withABoard { mkdir(path + "/board", 0o700) }
        let answer = peer.ask("tasks-times key")
        print("early, microseconds late: \(answer)")
        let numbers = answer.split(separator: " ").compactMap { Int($0) }
        #expect(numbers.count == 2 && numbers[0] == 0 && numbers[1] < 20_000, "\(answer)")
        try kept?.abandon()
    }

    @Test func tasksAreWokenByWhoFinalizes() throws {
        let (store, peer) = (try Store(at: path), PeerProcess(path))
        var delays: [Double] = []
        for round in 0..<10 {
            let kept = try store.win(Store.Key("key-\(round)"))
            peer.process.tell("tasks-wait 10 30000 key-\(round)")
            #expect(peer.process.line() == "waiting")
            let begin = BootTime.now
            try kept?.finalize("value".utf8)
            #expect(counts(peer.process.line()).told == ["ready": 10])
            delays.append(begin.milliseconds())
        }
        print("tasks woken: median \(median(delays)) ms, at most \(delays.max() ?? 0) ms")
        // A look comes 75 to 95 ms after the last.
        #expect(median(delays) < 40)
    }

    /// One thread looks out for all; one more may be there where a thread of the tasks was replaced.
    @Test func aHundredFollowersShareOneThread() throws {
        let (journal, peer) = (try Store(at: path).journal("log"), PeerProcess(path))
        try journal.append("1".utf8)
        peer.process.tell("tasks-follow 100")
        #expect(peer.process.line() == "following")
        for number in 2...6 { try journal.append("\(number)".utf8) }
        let answer = peer.process.line() ?? ""
        let numbers = answer.split(separator: " ").compactMap { Int($0) }
        #expect(numbers.count == 2 && numbers[0] == 600 && numbers[1] <= 2, "\(answer)")
    }

    @Test func aHoldersDeathResumesExactlyOneWinner() throws {
        let peer = PeerProcess(path)
        for round in 0..<(wantsLongTests ? 50 : 5) {
            let holder = PeerProcess(path)
            #expect(holder.ask("claim key-\(round)").hasPrefix("won "))
            peer.process.tell("tasks-wait 20 30000 key-\(round)")
            #expect(peer.process.line() == "waiting")
            let death = BootTime.now
            holder.kill()
            #expect(counts(peer.process.line()).told == ["ready": 19, "won": 1])
            #expect(death.milliseconds() < 5000)
        }
        #expect(StoreFiles(path).pending == 0)
    }

    /// The shards, the claims, all of it: those who wait go on in the new store.
    @Test(arguments: [true, false])
    func tasksWaitThroughTheRemovalOfTheirStore(isMadeAnew: Bool) throws {
        let (store, peer) = (try Store(at: path), PeerProcess(path))
        let kept = try store.win("key")
        peer.process.tell("tasks-wait 20 30000 key")
        #expect(peer.process.line() == "waiting")
        removeAtOnce(path)
        if isMadeAnew { #expect(try Store(at: path).claimAndFinalize("other", [UInt8]()).isWon) }
        let told = counts(peer.process.line()).told
        #expect(told == ["ready": 19, "won": 1], "\(told)")
        #expect(try Store(at: path).bytes(of: "key") == Array("of-\(peer.process.id)".utf8))
        withExtendedLifetime(kept) {}
    }

    // MARK: Behind a stopped process

    /// A command stopped while it has the mutex of a key's shard.
    private func stopInChange(of key: Store.Key) throws -> Child {
        let owner = "\(getpid())"
        for number in 1..<500 {
            let child = Child(
                builtProducts + "/flock-cache",
                ["--store", path, "claim", "--owner", owner, "\(key)"],
                environment: ["FLOCK_CACHE_FAULT": "\(number):STOP"])
            guard child.waitForStop() else { break }
            if anyMutexIsHeld(path) { return child }
            child.kill(SIGKILL)
            _ = child.wait()
        }
        throw Unexpected("no command stops in its change")
    }

    /// Tasks wait for it as long as threads do, and others have their turns meanwhile.
    @Test(arguments: [(0, 1000), (1500, 1500), (3000, 3000)])
    func aStoppedProcessBlocksNoThreadOfTasks(limit: Int, expected: Int) throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("other", [UInt8]()).isWon)
        let stopped = try stopInChange(of: "key")
        let peer = PeerProcess(path)
        let (told, time, ticks) = counts(peer.ask("tasks-wait 8 \(limit) key"))
        print("behind a stopped process: \(told), \(time) ms, \(ticks) ticks")
        // One of the tasks may have seen the claim that the stopped one is making.
        #expect(told.keys.allSatisfy { $0.contains("timedOut") || $0 == "pending" }, "\(told)")
        #expect(told.values.reduce(0, +) == 8)
        #expect(time >= expected - 10 && time < expected + 3000)
        // One every 5 ms, had it a thread to itself.
        #expect(ticks > time / 50)
        stopped.kill(SIGCONT)
        _ = stopped.outcome()
    }

    /// Publishing and giving up wait for it too, and others have their turns meanwhile.
    @Test func whatEndsClaimsBehindAStoppedProcessBlocksNoThreadOfTasks() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("other", [UInt8]()).isWon)
        let keys = keys(9, inShard: 0x33)
        let peer = PeerProcess(path)
        let go = directory("go")
        let words = keys[1...].map { "\($0)" }.joined(separator: " ")
        peer.process.tell("tasks-compute \(go) \(words)")
        #expect(peer.process.line() == "computing")
        let stopped = try stopInChange(of: keys[0])
        write([UInt8](), to: go)
        let begin = BootTime.now
        #expect(waitUntil { begin.milliseconds() > 500 })
        stopped.kill(SIGKILL)
        _ = stopped.wait()
        let (told, _, ticks) = counts(peer.process.line())
        print("ended behind a stopped process: \(told), \(ticks) ticks")
        #expect(told == ["failed": 4, "published": 4], "\(told)")
        #expect(ticks > 20)
        #expect(StoreFiles(path).ready == 5)
    }

    /// The stopped one goes on, and so do they.
    @Test func tasksGoOnWhenTheStoppedProcessDoes() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("other", [UInt8]()).isWon)
        let stopped = try stopInChange(of: "key")
        let peer = PeerProcess(path)
        peer.process.tell("tasks-wait 8 30000 key")
        let begin = BootTime.now
        #expect(waitUntil { begin.milliseconds() > 300 })
        stopped.kill(SIGKILL)
        _ = stopped.wait()
        var line = peer.process.line()
        if line == "waiting" { line = peer.process.line() }
        #expect(counts(line).told == ["ready": 7, "won": 1], "\(line ?? "")")
    }
}

#endif
