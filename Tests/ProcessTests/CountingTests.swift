import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Processes that count, spend and set values at once.
@Suite(.ownThreads) struct CountingTests {
    private let stage = Stage()

    private func peers(_ count: Int, _ gate: Gate) -> [PeerProcess] {
        (0..<count).map { _ in
            let peer = PeerProcess(stage.store)
            #expect(peer.ask("gate \(gate.path)") == "done")
            return peer
        }
    }

    @Test func aHundredProcessesCountToAHundred() throws {
        let outcome = stage.script(
            "for n in $(seq 100); do flock-cache increment k & done; wait")
        #expect(
            outcome.text.split(separator: "\n").compactMap { Int($0) }.sorted() == Array(1...100))
        #expect(stage.run("get", "k").text == "100")
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready 1\n"))
    }

    /// Readers in a hot loop see the number rise and are never told that it is not there, also while it is set
    /// otherwise in between.
    @Test func eightProcessesCountExactlyUnderTheEyesOfReaders() throws {
        let times = wantsLongTests ? 10_000 : 500
        let gate = Gate(stage.directory("gate"))
        let peers = peers(8, gate)
        let store = try Store(at: stage.store)
        try store.increment("k")
        let isOver = Counter()
        let looks = Counter()
        let readers = (0..<2).map { _ in
            startThread {
                var last: Int64 = 0
                var generation: Store.Generation = 0
                while isOver.value == 0 {
                    guard let entry = try? store.entry(for: "k"),
                        let number = Int64(String(decoding: entry.value, as: UTF8.self))
                    else {
                        Issue.record("missed")
                        return
                    }
                    if number < last || entry.generation < generation {
                        Issue.record("\(number) after \(last)")
                        return
                    }
                    (last, generation) = (number, entry.generation)
                    looks.add(1)
                }
            }
        }
        let answers = gate.release(peers) { _ in "race-count \(times) k" }
        isOver.add(1)
        for reader in readers { pthread_join(reader, nil) }
        #expect(answers.count == 8 && answers.allSatisfy { $0.hasPrefix("counted ") }, "\(answers)")
        #expect(answers.contains("counted \(8 * times + 1)"))
        #expect(try store.bytes(of: "k") == Array("\(8 * times + 1)".utf8))
        #expect(Tally(try store.counts()) == Tally(filesOf: stage.store))
        print("8 × \(times) increments under \(looks.value) looks")
        #expect(looks.value > 0)
    }

    @Test func fiftyOfSixtyGetAPermit() throws {
        let outcome = stage.script(
            """
            for n in $(seq 60); do
                { flock-cache increment --max 50 permits >/dev/null && echo got || echo "no $?"; } &
            done; wait
            """)
        let lines = outcome.text.split(separator: "\n")
        #expect(
            lines.count { $0 == "got" } == 50 && lines.count { $0 == "no 1" } == 10, "\(outcome)")
        #expect(stage.run("get", "permits").text == "50")
    }

    @Test func ofTwoThatSpendMostOfTheCreditsOneSucceeds() throws {
        let gate = Gate(stage.directory("gate"))
        let peers = peers(2, gate)
        for round in 0..<20 {
            stage.run("increment", "credits-\(round)", "100")
            let answers = gate.release(peers) { _ in "race-increment -60 0 - credits-\(round)" }
            #expect(answers.sorted() == ["counted 40", "range 40"])
        }
    }

    @Test func oneOfFiveOptimisticUpdatesSucceeds() throws {
        let gate = Gate(stage.directory("gate"))
        let peers = peers(5, gate)
        for round in 0..<20 {
            let generation = try #require(stage.run("put", "k", "start-\(round)").generation)
            let answers = gate.release(peers) { "race-put \(generation) k from-\($0)" }
            let winners = answers.filter { $0.hasPrefix("set ") }
            #expect(
                winners.count == 1 && answers.count { $0.hasPrefix("unmet ") } == 4, "\(answers)")
            let winner = try #require(answers.firstIndex { $0.hasPrefix("set ") })
            #expect(stage.run("get", "k").text == "from-\(winner)")
            // Absent, it is the same.
            stage.run("remove", "k")
            let first = gate.release(peers) { "race-put absent k from-\($0)" }
            #expect(first.count { $0.hasPrefix("set ") } == 1, "\(first)")
        }
    }

    @Test func updatesOfSeveralProcessesLoseNothing() throws {
        let gate = Gate(stage.directory("gate"))
        let peers = peers(4, gate)
        let answers = gate.release(peers) { _ in "race-update 50 k" }
        let runs = answers.compactMap { Int($0.dropFirst(5)) }
        #expect(runs.count == 4 && runs.allSatisfy { $0 >= 50 }, "\(answers)")
        #expect(stage.run("get", "k").text == "200")
        print("4 × 50 updates ran \(runs.reduce(0, +)) times")
    }

    /// Counting processes that are killed lose nothing that was acknowledged and leave nothing.
    @Test func killedProcessesLoseNothingThatTheyWereTold() throws {
        let store = try Store(at: stage.store)
        var random = Seeded("kills while counting")
        var told = 0
        for _ in 0..<(wantsLongTests ? 200 : 20) {
            let child = stage.start(
                "while flock-cache increment k; do :; done; echo failed")
            let lines = Int.random(in: 1...6, using: &random)
            var last = 0
            for _ in 0..<lines { last = child.line().flatMap { Int($0) } ?? -1 }
            #expect(last > told)
            // The command itself, wherever it is, and the script.
            _ = run(
                "sh",
                ["-c", "kill -9 $(cat /proc/\(child.id)/task/\(child.id)/children) \(child.id)"],
                environment: ["PATH": "/usr/bin:/bin"])
            let rest = String(decoding: child.rest(), as: UTF8.self).split(separator: "\n")
            #expect(child.wait() == .signal(SIGKILL))
            #expect(!rest.contains("failed"))
            told = rest.compactMap { Int($0) }.last ?? last
            // One more may have been counted, and nobody was told.
            #expect(waitUntil { !anyMutexIsHeld(stage.store) })
            let now = try #require(Int(stage.run("get", "k").text))
            #expect((told...(told + 1)).contains(now), "\(told), now \(now)")
            told = now
        }
        try store.reap()
        #expect(leftovers(in: stage.store) == [])
        #expect(Tally(try store.counts()) == Tally(filesOf: stage.store))
    }

    /// Readers see the old value or the new one while small and large values and numbers take turns.
    @Test func aKeyIsNeverMissedWhileItIsSet() throws {
        let (writer, reader) = (try Store(at: stage.store), try Store(at: stage.store))
        _ = try writer.put("0".utf8, for: "k")
        let isOver = Counter()
        let looks = Counter()
        let thread = startThread {
            var last: Store.Generation = 0
            while isOver.value == 0 {
                guard let entry = try? reader.entry(for: "k"), entry.generation >= last else {
                    Issue.record("missed, or went back from \(last)")
                    return
                }
                last = entry.generation
                looks.add(1)
            }
        }
        for round in 0..<(wantsLongTests ? 3000 : 300) {
            switch round % 4 {
            case 0: _ = try writer.put(pattern(round), for: "k")
            case 1: _ = try writer.put(pattern(70_000), for: "k")
            case 2: _ = try writer.put("\(round)".utf8, for: "k")
            default: try writer.increment("k")
            }
        }
        isOver.add(1)
        pthread_join(thread, nil)
        #expect(looks.value > 0)
    }

    @Test func aLargeValueIsPutWithoutBeingHeldInMemory() {
        let megabytes = wantsLongTests ? 1024 : 64
        let outcome = stage.script(
            """
            set -e
            \(ownMemory)
            peak() { own_memory $!; }
            head -c \(megabytes)M /dev/urandom >$WORK/value
            mkfifo $WORK/in
            flock-cache increment k >/dev/null
            flock-cache put k --file - <$WORK/in >$WORK/generation &
            exec 3>$WORK/in
            cat $WORK/value >&3
            peak
            exec 3>&-
            wait $!
            flock-cache get k | cmp - $WORK/value
            flock-cache list | cut -f 3 | cmp - $WORK/generation
            """)
        #expect(outcome.code == 0, "\(outcome)")
        let peak = Int(outcome.text.dropLast()) ?? .max
        print("\(megabytes) MiB: put used \(peak) KiB")
        #expect(peak < ownMemoryBound)
        #expect(stage.entryFiles.count == 1)
    }

    /// On a full device what was counted before is counted on, everything is read, and nothing is half done.
    @Test(.enabled(if: canMount, "needs root, unshare and mount"))
    func aFullDeviceKeepsNobodyFromReadingAndCounting() {
        let script = """
            mount -t tmpfs -o size=900k none /mnt || exit 9
            export FLOCK_CACHE_DIR=/mnt/store
            try() { rc=0; flock-cache "$@" >/dev/null 2>$WORK/error || rc=$?; echo "$1 $rc $(grep -c 'No space left' $WORK/error)"; }
            flock-cache increment n 40 >/dev/null; flock-cache increment n 2 >/dev/null
            flock-cache put k old >/dev/null
            cat /dev/zero >/mnt/fill 2>/dev/null
            flock-cache increment n
            flock-cache get k; echo
            try put k new; try put other new; try increment fresh
            head -c 100000 /dev/zero >$WORK/large; try put k --file $WORK/large
            flock-cache increment n
            flock-cache get k; echo
            flock-cache stats | head -n 2
            find /mnt/store/entries -name '.tmp-*' -o -name '*.pending' | wc -l
            rm /mnt/fill
            try put k new
            """
        let outcome = TestSupport.run(
            "unshare", ["-m", "bash", "-c", script], environment: stage.variables)
        #expect(
            outcome.text.split(separator: "\n") == [
                "43", "old", "put 74 1", "put 74 1", "increment 74 1", "put 74 1", "44", "old",
                "pending 0", "ready 2", "0", "put 0 0",
            ], "\(outcome)")
    }
}
