import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// System A: a cache that deduplicates uploads, shared by many processes of a command-line tool.
///
/// Each test is a row of docs/reference/scenarios.md. The tool is a shell script, so all of it goes by the command.
@Suite(.ownThreads) struct UploadScenarioTests {
    private let stage = Stage()

    /// The exit codes of so many processes that do the same at once, and how many ended with each.
    private func codes(_ count: Int, _ line: String) -> [Int32: Int] {
        let gate = Gate(stage.directory("gate"))
        let children = (0..<count).map { number in
            stage.start("flock -s \(gate.path) true; export N=\(number); \(line)", in: "sh")
        }
        gate.open()
        return children.reduce(into: [:]) { codes, child in
            codes[child.finish().code, default: 0] += 1
        }
    }

    /// An upload that is deduplicated: prints the file's id.
    private func uploader(_ upload: String) -> String {
        """
        id=$(flock-cache run -w 1m "$HASH" -- sh -c '
            echo "$HASH" >>"$WORK/uploads"; \(upload)') || exit
        echo "$id"
        """
    }

    private func uploads() -> [String] {
        String(decoding: contents(of: stage.directory("uploads")) ?? [], as: UTF8.self)
            .split(separator: "\n").map(String.init)
    }

    @Test(arguments: [20, 50])
    func a1OfManyProcessesOneWins(count: Int) {
        let owner = getpid()
        let codes = codes(count, "flock-cache claim -q --owner \(owner) hash")
        #expect(codes == [0: 1, 75: count - 1])
    }

    @Test func a1OfTwentyThreadsOneWins() throws {
        let store = try Store(at: stage.store)
        let barrier = Barrier(20)
        let told = inThreads(20) { _ -> Told in
            barrier.wait()
            let kept = try? store.win("hash")
            // Given up before all have asked, it would be somebody else's to win.
            barrier.wait()
            return kept.map { .won($0.generation) } ?? .pending
        }
        #expect(told.count(where: \.isWon) == 1)
    }

    @Test func a2AllEndWithTheSameIDAndOneUploadHappened() {
        let gate = Gate(stage.directory("gate"))
        let children = (0..<20).map { _ in
            stage.start(
                "flock -s \(gate.path) true; export HASH=h; " + uploader("echo id-$$"), in: "sh")
        }
        gate.open()
        let outcomes = children.map { $0.finish() }
        #expect(outcomes.allSatisfy { $0.code == 0 && $0.text.hasPrefix("id-") })
        #expect(Set(outcomes.map(\.text)).count == 1)
        #expect(uploads() == ["h"])
    }

    @Test func a3AFailedUploadIsAbandonedAndARetryWins() {
        let failed = stage.script("export HASH=h; " + uploader("exit 9"))
        #expect(failed.code == 9 && stage.run("get", "h").code == 1, "\(failed)")
        let retry = stage.script("export HASH=h; " + uploader("echo id"))
        #expect(retry.code == 0 && retry.text == "id\n" && uploads().count == 2, "\(retry)")
    }

    /// Both are safe twice; racing one another they have one outcome.
    @Test func a3AbandonAndFinalizeRace() throws {
        var outcomes: [String: Int] = [:]
        for round in 0..<(wantsLongTests ? 500 : 50) {
            let key = "race-\(round)"
            let generation = try #require(stage.run("claim", key).generation)
            let right = "--generation \(generation) \(key)"
            let finalizing = stage.start("flock-cache finalize -q \(right) v")
            let abandoning = stage.start("flock-cache abandon \(right)")
            let codes = (finalizing.finish().code, abandoning.finish().code)
            let value = stage.run("get", key)
            let isPublished = codes.0 == 0 && value.text == "v"
            let isGivenUp = codes.0 == 76 && value.code == 1
            #expect(codes.1 == 0 && (isPublished || isGivenUp), "\(codes), \(value)")
            outcomes[isPublished ? "published" : "given up", default: 0] += 1
            for _ in 0..<2 {
                #expect(stage.run("abandon", "--generation", "\(generation)", key).code == 0)
            }
            let again = stage.run("finalize", "--generation", "\(generation)", key, "v")
            #expect(again.code == (isPublished ? 0 : 76), "\(again)")
        }
        print("abandon and finalize at once: \(outcomes)")
    }

    /// What growing with processes rests on: different hashes wait for nothing of one another.
    ///
    /// The figures are in `flock-cache-bench scenarios`.
    @Test func a4DifferentHashesDoNotWaitForOneAnother() {
        let codes = codes(
            20,
            """
            for i in 1 2 3 4 5; do
                g=$(flock-cache claim h-$N-$i) && flock-cache finalize --generation $g h-$N-$i v || exit
            done
            """)
        #expect(codes == [0: 20])
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready 100\n"))
    }

    @Test(.enabled(if: isInstalled("python3"), "needs python3"))
    func a5AHolderStuckInAChangeIsATimeOutAndNoHang() throws {
        stage.publish("first", "v")
        let tests = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let format = "/\(tests)/FileFormat/flock_cache_format.py"
        let shard = stage.script("\(format) \(stage.store) --shard h | cut -c1-2").text.dropLast()
        let holder = stage.start("exec \(format) \(stage.store) --hold \(shard)")
        #expect(holder.line() == "held")
        let rival = stage.run("claim", "-w", "1", "h")
        #expect(rival.code == 124 && rival.error.contains("pid \(holder.id)"), "\(rival)")
        let other = stage.run("claim", "another")
        #expect(other.code == 0, "\(other)")
        holder.closeInput()
        #expect(holder.finish().code == 0)
        #expect(stage.run("claim", "-w", "1", "h").code == 0)
    }

    @Test func a6ACrashedWinnerIsRecoverable() {
        for _ in 0..<2 {
            let winner = stage.start(
                "for k in next reaped; do flock-cache claim $k; done; sleep 1000")
            for _ in 0..<2 { #expect(winner.line() != nil) }
            #expect(stage.run("claim", "-q", "next").code == 75)
            winner.kill(SIGKILL)
            _ = winner.wait()
            // By the next to claim, at once.
            let next = stage.run("claim", "next")
            #expect(next.code == 0 && next.error.contains("took over 'next'"), "\(next)")
            // And by the reaper.
            let reaped = stage.run("reap")
            #expect(reaped.text == "reaped\tdead-process\n", "\(reaped)")
            stage.run("remove", "--pending", "next")
        }
    }

    @Test func a7ADamagedEntryIsReportedAndAbsentAndTheRestUnaffected() throws {
        for key in ["damaged", "whole"] { stage.publish(key, "value") }
        let path = try #require(stage.entryFile("damaged"))
        var bytes = try #require(contents(of: path))
        bytes[bytes.count - 1] ^= 1
        write(bytes, to: path)
        #expect(stage.run("get", "whole").text == "value")
        let first = stage.run("get", "damaged")
        #expect(first.code == 65 && first.error.contains("damaged"), "\(first)")
        #expect(stage.run("get", "damaged").code == 1)
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready 1\n"))
        #expect(stage.run("claim", "damaged").code == 0)
    }

    /// One read, whatever is in the store; the time it takes is in `flock-cache-bench million`.
    @Test(.enabled(if: isInstalled("strace"), "needs strace"))
    func a8StatisticsDoNotDependOnTheNumberOfEntries() throws {
        let store = try Store(at: stage.store)
        func opened() -> Int {
            let traced = stage.script("strace -f -e trace=%file flock-cache stats 2>&1 >/dev/null")
            return traced.text.split(separator: "\n").count
        }
        #expect(try store.claimAndFinalize("first", "v".utf8).isWon)
        let few = opened()
        for number in 0..<2000 {
            #expect(try store.claimAndFinalize(Store.Key("key-\(number)"), "v".utf8).isWon)
        }
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready 2001\n"))
        // Whatever is made when the first to ask makes it.
        _ = opened()
        #expect(few > 0 && opened() <= few + 2)
    }

    /// The key is the digest of the sorted hashes of its parts; it and each part are built once.
    @Test func a9AStoreOfStoresIsBuiltOnceFromPartsThatAreBuiltOnce() {
        for name in ["a", "b", "c"] { write(name.utf8, to: stage.directory(name)) }
        let build = """
            cd $WORK
            part() { # FILE
                flock-cache run -w 1m "part/$(sha256sum <$1 | cut -c1-64)" -- \
                    sh -c 'echo part >>built; tr a-z A-Z <'$1
            }
            set=$(sha256sum "$@" | cut -c1-64 | sort | sha256sum | cut -c1-64)
            build_set() { echo set >>built; for f in "$@"; do part $f; echo; done | sort; }
            if g=$(flock-cache claim -w 1m set/$set); then
                value=$(build_set "$@") && flock-cache finalize --generation $g set/$set "$value" && echo "$value"
            else
                [ $? = 1 ] && echo "$g"
            fi
            """
        write(build.utf8, to: stage.directory("build.sh"))
        let orders = ["a b c", "c b a", "b a c", "a b", "b a"]
        let children = orders.map { stage.start("exec bash $WORK/build.sh \($0)") }
        let outcomes = children.map { $0.finish() }
        for (order, outcome) in zip(orders, outcomes) {
            #expect(outcome.code == 0, "\(outcome)")
            #expect(outcome.text == (order.count == 5 ? "A\nB\nC\n" : "A\nB\n"), "\(outcome)")
        }
        let built = String(decoding: contents(of: stage.directory("built")) ?? [], as: UTF8.self)
            .split(separator: "\n")
        #expect(built.count { $0 == "set" } == 2 && built.count { $0 == "part" } == 3, "\(built)")
    }
}
