import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// System E: telemetry of a command-line tool, whose runs record themselves.
///
/// The runs are processes, so it goes by the command; what one of them does in two threads goes by the library. Each test is a row of docs/reference/scenarios.md.
@Suite(.ownThreads) struct TelemetryScenarioTests {
    private let stage = Stage()

    /// The records of the journal, by number, without their times; a space is escaped there.
    private func records() -> [Int: String] {
        let lines = stage.run("journal", "read", "runs").text.split(separator: "\n")
        return lines.reduce(into: [:]) { records, line in
            let parts = line.split(separator: "\t", maxSplits: 2)
            if parts.count == 3 {
                records[Int(parts[0]) ?? 0] = String(parts[2].replacing("%20", with: " "))
            }
        }
    }

    private func append(_ text: String) -> Child {
        Child(
            builtProducts + "/flock-cache", ["journal", "append", "runs", text],
            environment: stage.variables)
    }

    @Test func e1AHundredProcessesRecordOneExecutionEach() {
        let children = (0..<100).map { append("run-\($0) 12 0") }
        let outcomes = children.map { $0.outcome() }
        #expect(outcomes.allSatisfy { $0.code == 0 && $0.error == "" })
        let numbers = outcomes.compactMap { Int($0.text.dropLast()) }
        #expect(Set(numbers) == Set(1...100))
        let records = records()
        #expect(records.count == 100)
        for (index, number) in numbers.enumerated() {
            #expect(records[number] == "run-\(index) 12 0")
        }
    }

    /// A record of each is a batch of its own: kept, whole, and with nothing of the other in between.
    @Test func e2MatchEventsOfTwoThreadsAreBothKeptWhole() throws {
        let journal = try Store(at: stage.store).journal("matches")
        let barrier = Barrier(2)
        let batches = try inThreads(2) { thread in
            barrier.wait()
            return Result {
                try (0..<100).map { batch in
                    try journal.append(
                        contentsOf: (0..<10).map { pattern(500, thread * 7919 + batch * 10 + $0) })
                }
            }
        }.map { try $0.get().compactMap(\.self) }
        var kept: [UInt64: [UInt8]] = [:]
        var records = try journal.records()
        while let record = try records.next() {
            kept[record.number] = record.bytes.withBytes { $0.withUnsafeBytes { Array($0) } }
        }
        #expect(kept.count == 2000)
        for thread in 0..<2 {
            for (batch, numbers) in batches[thread].enumerated() {
                #expect(numbers.count == 10)
                for (index, number) in numbers.enumerated() {
                    #expect(kept[number] == pattern(500, thread * 7919 + batch * 10 + index))
                }
            }
        }
    }

    /// Any snapshot is of the first so many records, so its sums fit its counts.
    @Test func e3CountsAndAveragesWhileWritersWrite() throws {
        let writer = """
            seq 500 | sed 's/^/'$GROUP' /' | flock-cache journal append runs --lines -q >/dev/null
            """
        let children = ["build", "test", "lint"].map { stage.start("GROUP=\($0); \(writer)") }
        let report = """
            flock-cache journal read runs -0 | tr '\\0' '\\n' | awk '
                { count[$1]++; sum[$1] += $2 }
                END { for (group in count) print group, count[group], sum[group] / count[group], NR }' | sort
            """
        var former = 0
        var reports = 0
        while reports < 3 || former < 1500 {
            let outcome = stage.script(
                "flock-cache journal append runs 'other 1' >/dev/null; \(report)")
            var total = 0
            for line in outcome.text.split(separator: "\n") {
                let words = line.split(separator: " ").compactMap { Double($0) }
                try #require(words.count == 3, "\(outcome)")
                // Each writer counts up from 1, so the average tells how many there must be.
                if !line.hasPrefix("other") { #expect(words[1] == (words[0] + 1) / 2, "\(line)") }
                total += Int(words[0])
            }
            #expect(outcome.text.hasSuffix(" \(total)\n"), "\(outcome)")
            #expect(total > former, "\(outcome)")
            (former, reports) = (total, reports + 1)
            try #require(reports < 2000, "the writers have not come to an end")
        }
        for child in children { #expect(child.finish().code == 0) }
        let last = stage.script(report).text
        for group in ["build", "lint", "test"] { #expect(last.contains("\(group) 500 250.5 ")) }
    }

    /// A record stays as it is; what is said of it is a value under its number, and is replaced as one.
    @Test func e4FeedbackOnAPastRecordWhileOthersAppend() {
        for number in 1...3 { #expect(append("run-\(number) 5 0").outcome().text == "\(number)\n") }
        let others = (0..<20).map { append("other-\($0) 5 0") }
        let judges = (0..<10).map { number in
            Child(
                builtProducts + "/flock-cache", ["put", "feedback/2", "opinion \(number)"],
                environment: stage.variables)
        }
        let generations = judges.map { $0.outcome().generation ?? 0 }
        for other in others { #expect(other.outcome().code == 0) }
        #expect(Set(generations).count == 10 && !generations.contains(0))
        let last = generations.indices.max { generations[$0] < generations[$1] } ?? 0
        #expect(stage.run("get", "feedback/2").text == "opinion \(last)")
        let records = records()
        #expect(records.count == 23 && records[2] == "run-2 5 0")
        #expect(stage.run("get", "feedback/1").code == 1)
    }

    /// What a wrapper does that must not fail for its telemetry's sake.
    private static let wrapper = """
        wrapped() { timeout 10 flock-cache journal append runs x >/dev/null 2>$WORK/error; echo "code $?"; true; }
        wrapped || true; echo goes on
        """

    @Test(.enabled(if: canBeNobody, "needs root, setpriv and a build that others can read"))
    func e5WithoutPermissionItFailsFastAndTheCallerGoesOn() {
        #expect(append("first").outcome().code == 0)
        chmod(stage.directory.path, 0o755)
        write([], to: stage.directory("error"))
        chmod(stage.directory("error"), 0o666)
        let words = nobody + ["sh", "-c", Self.wrapper]
        let outcome = TestSupport.run("setpriv", words, environment: stage.variables)
        #expect(outcome.text == "code 77\ngoes on\n", "\(outcome)")
        #expect(records() == [1: "first"])
    }

    @Test(
        .enabled(if: canMount, "needs root, unshare and mount"),
        arguments: [("mount -o remount,ro $WORK/m", 73), ("cat /dev/zero >$WORK/m/fill", 74)])
    func e5OnAReadOnlyOrFullDiskItFailsFastAndTheCallerGoesOn(_ way: String, _ code: Int) {
        let script = """
            mkdir $WORK/m; mount -t tmpfs -o size=8m none $WORK/m; export FLOCK_CACHE_DIR=$WORK/m/store
            flock-cache stats; flock-cache claim first >/dev/null
            \(way) 2>/dev/null
            \(Self.wrapper)
            """
        let outcome = TestSupport.run(
            "unshare", ["-m", "sh", "-c", script], environment: stage.variables)
        #expect(outcome.text.hasSuffix("code \(code)\ngoes on\n"), "\(outcome)")
    }

    /// Killed at each of its system calls, while others append.
    @Test func e6AWriterThatIsKilledTearsNothing() {
        #expect(append("first").outcome().text == "1\n")
        var (call, told, others) = (1, [1: "first"], 0)
        while true {
            var environment = stage.variables
            environment["FLOCK_CACHE_FAULT"] = "\(call):KILL"
            let text = "victim-\(call) " + String(repeating: "v", count: 1000)
            let victim = Child(
                builtProducts + "/flock-cache", ["journal", "append", "runs", text],
                environment: environment)
            let other = append("other-\(call)").outcome()
            #expect(other.code == 0 && other.error == "", "\(call): \(other)")
            told[Int(other.text.dropLast()) ?? 0] = "other-\(call)"
            others += 1
            let outcome = victim.outcome()
            if let number = Int(outcome.text.dropLast()) { told[number] = text }
            if outcome.ending != .signal(SIGKILL) {
                #expect(outcome.code == 0, "\(outcome)")
                break
            }
            call += 1
        }
        print("killed at \(call - 1) system calls")
        #expect(call > 20)
        let records = records()
        #expect(Set(records.keys) == Set(1...records.count))
        // What was acknowledged is there; what was not is whole, once, or not there.
        for (number, text) in told { #expect(records[number] == text) }
        #expect(Set(records.values).count == records.count && records.count <= others + call + 1)
        for text in records.values where text.hasPrefix("victim") {
            #expect(text.hasSuffix(" " + String(repeating: "v", count: 1000)))
        }
    }
}
