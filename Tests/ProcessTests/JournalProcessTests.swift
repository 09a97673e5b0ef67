import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Journals that many processes share.
@Suite(.ownThreads) struct JournalProcessTests {
    private let stage = Stage()

    /// The telemetry of 100 commands that run at once: each is there, once, with a number of its own.
    @Test func aHundredProcessesAppendOneRecordEach() throws {
        let children = (1...100).map { index in
            Child(
                builtProducts + "/flock-cache", ["journal", "append", "runs", "run \(index)"],
                environment: stage.variables)
        }
        let numbers = children.map { Int($0.outcome().text.dropLast()) ?? 0 }
        #expect(numbers.sorted() == Array(1...100))
        let lines = stage.run("journal", "read", "runs", "-0").text.split(separator: "\0")
        for (index, number) in numbers.enumerated() {
            #expect(lines[number - 1] == "run \(index + 1)")
        }
        #expect(lines.count == 100)
    }

    /// Writers are killed at random moments; a follower sees each whole record, in order, once.
    @Test func killedWritersTearLoseAndDoubleNothing() throws {
        var random = Seeded("killed writers")
        let (writers, perRun, runs) = wantsLongTests ? (8, 10_000, 80) : (4, 400, 24)
        var stage = stage
        stage.variables["FLOCK_CACHE_SEGMENT"] = "65536"
        let first = stage.run("journal", "append", "log", "begin")
        #expect(first.code == 0, "\(first)")
        let follower = Child(
            "sh", ["-c", "exec flock-cache journal read log --follow -0 > \"$WORK/followed\""],
            environment: stage.variables)
        var running: [(run: Int, child: Child)] = []
        var whole: Set<Int> = []
        var killed = 0
        for run in 0..<runs {
            let lines = (0..<perRun).map { Self.line($0, of: run) }
            write(lines.map { $0 + "\n" }.joined().utf8, to: stage.directory("input-\(run)"))
            // Those that are killed get their lines one by one, and wait for more.
            let isVictim = run % 3 == 0
            let way = isVictim ? [] : ["--file", stage.directory("input-\(run)")]
            let child = Child(
                builtProducts + "/flock-cache", ["journal", "append", "log", "--lines"] + way,
                environment: stage.variables)
            if isVictim {
                for line in lines.prefix(200) { child.tell(line) }
                // While it starts, or when it has its lines and is appending them.
                if Bool.random(using: &random) {
                    usleep(UInt32.random(in: 0..<20_000, using: &random))
                } else {
                    #expect(child.waitUntilInputIsRead())
                    usleep(UInt32.random(in: 0..<300, using: &random))
                }
                child.kill(SIGKILL)
                #expect(child.wait() == .signal(SIGKILL))
                killed += 1
            } else {
                running.append((run, child))
            }
            if running.count == writers {
                let (run, child) = running.removeFirst()
                if child.wait() == .exit(0) { whole.insert(run) }
            }
        }
        for (run, child) in running where child.wait() == .exit(0) { whole.insert(run) }
        #expect(whole.count == runs - killed)
        let last = stage.run("journal", "append", "log", "end")
        #expect(last.code == 0)
        let read = stage.run("journal", "read", "log", "-0").output
        #expect(waitUntil { size(of: stage.directory("followed")) >= read.count })
        follower.kill(SIGTERM)
        _ = follower.wait()
        #expect(contents(of: stage.directory("followed")) == read)
        try check(String(decoding: read, as: UTF8.self), perRun, whole)
    }

    private static func line(_ line: Int, of run: Int) -> String {
        "run \(run) line \(line) " + String(repeating: "=", count: line % 90)
    }

    /// Of each run the first lines are there, in order, each once and whole; of one that ended well all.
    private func check(_ text: String, _ perRun: Int, _ whole: Set<Int>) throws {
        var next: [Int: Int] = [:]
        let records = text.split(separator: "\0")
        for record in records.dropFirst().dropLast() {
            let words = record.split(separator: " ", omittingEmptySubsequences: false)
            let (run, line) = (Int(words[1]) ?? -1, Int(words[3]) ?? -1)
            #expect(next[run, default: 0] == line, "\(record)")
            #expect(words[4].count == line % 90, "\(record)")
            next[run] = line + 1
        }
        for run in whole { #expect(next[run] == perRun, "run \(run)") }
        print("\(records.count) records of \(next.count) runs, \(whole.count) ended well")
        #expect(!whole.isEmpty)
    }

    @Test func rotationAndTrimmingUnderAFollowerLoseAndDoubleNothing() throws {
        var stage = stage
        stage.variables["FLOCK_CACHE_SEGMENT"] = "8192"
        #expect(stage.run("journal", "append", "log", "1").code == 0)
        let follower = Child(
            "sh", ["-c", "exec flock-cache journal read log --follow > \"$WORK/followed\""],
            environment: stage.variables)
        let outcome = stage.script(
            """
            i=1
            while [ $i -lt 30 ]; do
                seq $((i * 50 - 48)) $((i * 50 + 1)) | flock-cache journal append log --lines || exit
                # Not what the follower has not read.
                while ! grep -q "	$((i * 50 + 1))$" "$WORK/followed"; do sleep 0.01; done
                flock-cache journal trim log --keep 10 || exit
                i=$((i + 1))
            done > /dev/null
            """)
        #expect(outcome.code == 0, "\(outcome)")
        let count = 29 * 50 + 1
        follower.kill(SIGTERM)
        _ = follower.wait()
        let text = String(decoding: contents(of: stage.directory("followed")) ?? [], as: UTF8.self)
        let lines = text.split(separator: "\n").map { $0.split(separator: "\t") }
        #expect(lines.count == count)
        #expect(lines.map { $0[0] } == (1...count).map { "\($0)" })
        #expect(lines.map { $0[2] } == (1...count).map { "\($0)" })
        let kept = stage.run("journal", "list").text.split(separator: "\t")
        #expect(Int(kept[1]) ?? 0 > 1000 && kept[2] == "\(count)", "\(kept)")
        let trimmed = stage.run("journal", "read", "log", "--from", "1")
        #expect(trimmed.code == 66 && trimmed.error.contains("is \(kept[1]) ("), "\(trimmed)")
    }

    @Test func aFollowerIsWokenAndItsWaitEnds() throws {
        #expect(stage.run("journal", "append", "log", "one").code == 0)
        let follower = Child(
            builtProducts + "/flock-cache",
            ["journal", "read", "log", "--follow", "--from", "2", "-w", "10m"],
            environment: stage.variables)
        #expect(stage.run("journal", "append", "log", "two").code == 0)
        #expect(follower.line()?.hasSuffix("\ttwo") == true)
        #expect(stage.run("journal", "remove", "log").code == 0)
        #expect(follower.wait() == .exit(1))
        #expect(stage.run("journal", "append", "log", "anew").text == "1\n")
        let over = stage.run("journal", "read", "log", "--follow", "-w", "20ms")
        #expect(over.code == 124 && over.text.hasSuffix("\tanew\n"), "\(over)")
        for missing in [["journal", "read", "none"], ["journal", "read", "none", "--follow"]] {
            let outcome = TestSupport.run(
                builtProducts + "/flock-cache", missing, environment: stage.variables)
            #expect(outcome.code == 1 && outcome.output.isEmpty, "\(outcome)")
        }
    }

    @Test func aLimitOnFileSizesIsMetByTheNextSegment() throws {
        let outcome = stage.script(
            """
            ulimit -f 16
            for i in $(seq 40); do
                flock-cache journal append log "$(printf '%0900d' $i)" || exit
            done
            head -c 20000 /dev/zero | flock-cache journal append log
            echo "large: $?"
            flock-cache journal append log last
            """)
        #expect(outcome.text.hasSuffix("\n40\nlarge: 74\n41\n"), "\(outcome)")
        #expect(outcome.error.contains("ulimit -f"), "\(outcome.error)")
        #expect(stage.run("journal", "read", "log", "-0").output.count == 40 * 901 + 5)
    }

    @Test(.enabled(if: canMount))
    func onAFullDeviceReadingAndTrimmingWork() throws {
        var stage = stage
        stage.variables["FLOCK_CACHE_SEGMENT"] = "65536"
        let script = """
            mkdir "$WORK/small" && mount -t tmpfs -o size=900k none "$WORK/small" || exit
            export FLOCK_CACHE_DIR="$WORK/small/store"
            text=$(printf '%020000d' 7)
            code=0; n=0
            while [ $code = 0 ]; do
                flock-cache journal append log "$text" > "$WORK/number" 2> "$WORK/error" || code=$?
                [ $code = 0 ] && n=$(cat "$WORK/number")
            done
            echo "full: $code"
            cat "$WORK/error" >&2
            head -c 400k /dev/zero > "$WORK/small/rest" 2> /dev/null
            [ "$(flock-cache journal read log | wc -l)" = "$n" ] && echo read
            flock-cache journal trim log --keep 5 && echo trimmed
            flock-cache journal append log "$text" > "$WORK/number" && [ "$(cat "$WORK/number")" = $((n + 1)) ] && echo appended
            """
        let outcome = run("unshare", ["-m", "bash", "-c", script], environment: stage.variables)
        #expect(outcome.text == "full: 74\nread\ntrimmed\nappended\n", "\(outcome)")
        #expect(outcome.error.contains("No space left"), "\(outcome.error)")
    }

    @Test func aCopiedStoreGoesOnByItself() throws {
        for index in 1...3 { #expect(stage.run("journal", "append", "log", "\(index)").code == 0) }
        let copy = stage.directory("copy")
        #expect(run("cp", ["-a", stage.store, copy], environment: stage.variables).code == 0)
        for (store, text) in [(copy, "copy"), (stage.store, "original")] {
            let outcome = stage.run("--store", store, "journal", "append", "log", text)
            #expect(outcome.text == "4\n", "\(outcome)")
            let read = stage.run("--store", store, "journal", "read", "log", "-0").text
            #expect(read == "1\u{0}2\u{0}3\u{0}\(text)\u{0}")
        }
    }

    @Test(.enabled(if: isRoot && canBeNobody))
    func aGroupSharesAJournal() throws {
        // The directory of the test is root's alone.
        let shared = "/dev/shm/flock-cache-shared-\(getpid())"
        defer { removeTree(shared) }
        let made = run(
            builtProducts + "/flock-cache", ["--store", shared, "init", "--mode", "0770"],
            environment: stage.variables)
        #expect(made.code == 0, "\(made)")
        let member = ["--reuid", "65534", "--regid", "65534", "--groups", "0"]
        let command = builtProducts + "/flock-cache"
        for text in ["of nobody", "of root"] {
            let words = ["--store", shared, "journal", "append", "log", text]
            let outcome =
                text == "of root"
                ? run(command, words, environment: stage.variables)
                : run("setpriv", member + [command] + words, environment: stage.variables)
            #expect(outcome.code == 0, "\(outcome)")
        }
        let read = run(
            "setpriv", member + [command, "--store", shared, "journal", "read", "log", "-0"],
            environment: stage.variables)
        #expect(read.text == "of nobody\u{0}of root\u{0}", "\(read)")
    }

    @Test func aRecordOf16MiBTakesLittleMemory() throws {
        let outcome = stage.script(
            """
            head -c 16777216 /dev/urandom > "$WORK/record"
            peak() { "$@" & child=$!; most=0
                while size=$(awk '/VmHWM/ { print $2 }' /proc/$child/status 2> /dev/null) && [ -n "$size" ]; do
                    [ "$size" -gt "$most" ] && most=$size; sleep 0.002
                done
                wait $child; code=$?; echo "$most" > "$WORK/peak"; return $code; }
            peak flock-cache journal append log --file "$WORK/record" > /dev/null || exit
            cat "$WORK/peak"
            peak flock-cache journal read log -0 > "$WORK/back" || exit
            cat "$WORK/peak"
            head -c 16777216 "$WORK/back" | cmp - "$WORK/record" && echo same
            """)
        let words = outcome.text.split(separator: "\n")
        #expect(outcome.code == 0 && words.last == "same", "\(outcome)")
        // The whole process, a debug build, in KiB.
        for word in words.dropLast() { #expect(Int(word) ?? .max < 40_000, "\(words)") }
        print("peaks in KiB: \(words)")
    }
}
