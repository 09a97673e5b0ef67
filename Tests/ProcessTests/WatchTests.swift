import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FlockCache
@testable import TestHelpers

/// `watch` beside processes that change the store, and are killed while they do.
@Suite(.ownThreads) struct WatchTests {
    private let stage = Stage()

    private func startWatch(_ arguments: String...) -> Child {
        Child(
            builtProducts + "/flock-cache", ["watch"] + arguments, environment: stage.variables)
    }

    private func makeStore() throws -> Store { try Store.telling(at: stage.store) }

    // MARK: One change

    @Test func aChangeIsPrintedAsItHappens() throws {
        let store = try makeStore()
        let watch = startWatch("--from", "1")
        for number in 1...20 {
            #expect(stage.run("put", "key-\(number)", "value").code == 0)
            let line = try #require(watch.line())
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            #expect(fields.count == 5, "\(line)")
            #expect(fields[0] == "\(number)" && fields[2] == "put" && fields[3] == "key-\(number)")
            #expect(fields[1].hasSuffix("Z") && fields[1].contains("T"), "\(line)")
            let generation = try Replay(listing: store).entries[Store.Key("key-\(number)")]?.ready
            #expect(UInt64(fields[4]) == generation)
        }
        watch.kill(SIGTERM)
        #expect(watch.wait() == .signal(SIGTERM))
    }

    /// A process that is killed between its change and telling of it: the watch tells, nobody else comes.
    @Test func theChangeOfAKilledProcessIsTold() throws {
        let bench = try FaultBench(telling: true)
        let call = try #require(
            try (1...(try bench.countCalls(of: .claimFresh))).last { number in
                let (key, old, arguments) = try bench.prepare(.claimFresh)
                let before = try bench.store.allChanges().count
                _ = bench.run(arguments, fault: "\(number):KILL")
                let (new, after) = (
                    try bench.state(of: key), try bench.store.allChanges().count
                )
                _ = try bench.store.counts()
                return new != old && after == before
            })
        let watch = Child(builtProducts + "/flock-cache", ["--store", bench.path, "watch"])
        // It has begun when it tells of what is changed now.
        var number = 0
        var printed: String?
        #expect(
            waitUntil {
                number += 1
                _ = try? bench.store.claimAndFinalize(Store.Key("elsewhere-\(number)"), [])
                if printed == nil, number == 50 { printed = watch.line() }
                return printed != nil
            })
        while let line = watch.line(),
            !line.contains("elsewhere-\(number)") || !line.contains("finalized")
        {}
        let (key, _, arguments) = try bench.prepare(.claimFresh)
        _ = bench.run(arguments, fault: "\(call):KILL")
        let begin = BootTime.now
        let line = try #require(watch.line())
        print("told after \(begin.milliseconds()) ms: \(line)")
        #expect(line.contains("\tclaimed\t\(key)\t"))
        watch.kill(SIGTERM)
        _ = watch.wait()
    }

    @Test func aLeaseWhoseHolderIsKilledExpires() throws {
        _ = try makeStore()
        let watch = startWatch("--from", "1", "--json")
        let run = stage.start("exec flock-cache lease run leader --ttl 300ms -- sleep 1000")
        let leased = try #require(watch.line())
        #expect(leased.contains(#""event":"leased","key":"leader""#), "\(leased)")
        run.kill(SIGKILL)
        let expired = try #require(watch.line())
        #expect(expired.contains(#""event":"expired","key":"leader""#), "\(expired)")
        watch.kill(SIGTERM)
        _ = watch.wait()
    }

    // MARK: Many

    private static let root: String = {
        let parts = #filePath.split(separator: "/")
        return "/" + parts.dropLast(3).joined(separator: "/")
    }()

    private static let keys = (0..<6).map { "key/\($0)" }

    /// What a writer does next: a fault or none, and a command.
    private static func order(_ random: inout Seeded, _ known: [Store.Generation]) -> [String] {
        let key = keys.randomElement(using: &random) ?? ""
        let generation = String(known.randomElement(using: &random) ?? 1)
        let commands: [[String]] = [
            ["claim", key], ["claim", key, "--max-age", "0"],
            ["claim", key, "--owner", "none", "--stale-after", "1ms"],
            ["finalize", key, "value", "--generation", generation],
            ["abandon", key, "--generation", generation], ["put", key, "1"],
            ["increment", key], ["remove", key], ["remove", "--pending", key], ["reap"],
            ["reap", "--max-entries", "2"], ["get", key], ["stats"],
            ["lease", "acquire", key, "--ttl", "5ms"],
            ["lease", "renew", key, "--generation", generation],
            ["lease", "release", key, "--generation", generation],
        ]
        let command = commands.randomElement(using: &random) ?? []
        let isKilled = Int.random(in: 0..<2, using: &random) == 0
        let fault = isKilled ? "\(Int.random(in: 20...130, using: &random)):KILL" : ""
        return [fault] + command
    }

    /// Makes so many changes; returns how many were killed.
    private func write(_ rounds: Int, seed: UInt64, as writer: Int) -> Int {
        var random = Seeded(seed: seed)
        var variables = stage.variables
        variables["FLOCK_CACHE_OWNER"] = "\(getpid())"
        let commands = Child(
            builtProducts + "/flock-cache-peer", ["--commands"], environment: variables)
        _ = commands.line()
        let (output, error) = (stage.directory("out-\(writer)"), stage.directory("err-\(writer)"))
        var known: [Store.Generation] = []
        var killed = 0
        for _ in 0..<rounds {
            let order = Self.order(&random, known)
            commands.tell(
                ([order[0], output, error] + order.dropFirst()).joined(separator: "\t"))
            let ending = commands.line() ?? ""
            if ending.hasPrefix("signal") { killed += 1 }
            let text = String(decoding: contents(of: output) ?? [], as: UTF8.self)
            if let generation = UInt64(text.dropLast()) {
                known = Array((known + [generation]).suffix(4))
            }
        }
        commands.closeInput()
        _ = commands.wait()
        return killed
    }

    @Test func besideEightWritersThatAreKilledNothingIsMissedOrToldTwice() throws {
        let store = try makeStore()
        let watch = startWatch("--from", "1")
        var random = Seeded("eight writers beside a watch")
        let seeds = (0..<8).map { _ in random.next() }
        let rounds = wantsLongTests ? 2500 : 40
        let killed = inThreads(8) { write(rounds, seed: seeds[$0], as: $0) }.reduce(0, +)
        // What the last ones have left is told by whoever comes next; here the watch does.
        let last = try store.session.forWriting()
        #expect(
            waitUntil {
                guard let blocks = try? last.shards.fileForReading()?.readAll() else {
                    return false
                }
                return !blocks.contains { $0?.changer != 0 }
            })
        try store.reap()
        let changes = try store.allChanges()
        print("\(changes.count) changes, \(killed) of \(8 * rounds) commands killed")
        #expect(flaw(in: changes) == nil)
        let (told, listed) = (Replay(changes), try Replay(listing: store))
        #expect(told == listed, "told \(told), there is \(listed)")
        #expect(killed > 8 * rounds / 8)
        // The watch printed the same, and so does one that begins anywhere.
        for change in changes {
            let line = try #require(watch.line())
            let expected = "\(change.event.name)\t\(change.key)\t\(change.generation)"
            #expect(line.hasPrefix("\(change.number)\t") && line.hasSuffix(expected), "\(line)")
        }
        // A program that knows the file format alone replays the same.
        let reader = Self.root + "/Tests/FileFormat/flock_cache_changes.py"
        let replayed = run(
            "python3", [reader, stage.store, "--replay"], environment: stage.variables)
        let rows = listed.entries.values.reduce(0) {
            $0 + ($1.ready == nil ? 0 : 1) + ($1.pending == nil ? 0 : 1)
        }
        let lines = replayed.text.split(separator: "\n")
        #expect(replayed.code == 0, "\(replayed)")
        #expect(lines.count { !$0.hasPrefix("leased") } == rows, "\(replayed.text), \(listed)")
        for _ in 0..<5 {
            let start = Int.random(in: 1...changes.count + 1, using: &random)
            let rest = stage.run("watch", "--from", "\(start)", "-w", "0")
            #expect(rest.code == 124)
            #expect(rest.text.split(separator: "\n").count == changes.count - start + 1)
        }
        watch.kill(SIGTERM)
        _ = watch.wait()
    }

    // MARK: The script of the documents

    @Test func theScriptOfTheDocumentsHandlesEachChangeAndGoesOn() throws {
        _ = try makeStore()
        let script = Self.root + "/docs/how-to/react-to-changes.sh"
        let log = stage.directory("log")
        func react() -> Outcome {
            stage.script(
                "sh \(script) -w 0 \"$WORK/position\" sh -c 'echo \"$1 $2 $3\" >> \"$WORK/log\"' sh"
            )
        }
        for round in 1...3 {
            stage.publish("key-\(round)", "value")
            #expect(react().code == 124)
        }
        let lines = String(decoding: contents(of: log) ?? [], as: UTF8.self).split(separator: "\n")
        #expect(
            lines.map { $0.split(separator: " ").prefix(2).joined(separator: " ") } == [
                "claimed key-1", "finalized key-1", "claimed key-2", "finalized key-2",
                "claimed key-3", "finalized key-3",
            ])
        // A command that fails is run again.
        stage.publish("failing", "value")
        let failed = stage.script("sh \(script) -w 0 \"$WORK/position\" false")
        #expect(failed.code == 1)
        #expect(react().code == 124)
        let all = String(decoding: contents(of: log) ?? [], as: UTF8.self).split(separator: "\n")
        #expect(all.count == 8)
    }
}
