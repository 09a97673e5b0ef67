import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `who`: who holds what, now.
@Suite(.ownThreads(minutes: 5)) struct WhoTests {
    private let stage = Stage()

    /// Whole seconds by the boot clock, rounded up.
    private var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return time.tv_sec + 1
    }

    @Test func itListsLocksAndClaims() throws {
        let start = now
        let lock = stage.hold("lock key")
        let shared = stage.hold("-s", "shared")
        let slots = (0..<2).map { _ in stage.hold("--slots", "2", "slots") }
        let claim = stage.start("flock-cache claim claimed; echo; exec cat")
        #expect(claim.line() != nil && claim.line() != nil)
        let rows = stage.who()
        let seconds = now - start
        #expect(rows.count == 5 && rows.allSatisfy { $0.count == 10 }, "\(rows)")
        func row(_ kind: String, _ key: String, _ process: Child, _ command: String) -> Bool {
            rows.contains {
                $0[0] == kind && $0[1] == key && $0[2] == "\(process.id)" && $0[3] == command
                    && Int($0[4]).map { 0...seconds ~= $0 } == true
                    && ($0[5] == "0" || $0[5] == "-")
            }
        }
        #expect(row("lock", "lock%20key", lock, "sh"), "\(rows)")
        #expect(row("shared", "shared", shared, "sh"), "\(rows)")
        #expect(row("slot-0", "slots", slots[0], "sh"), "\(rows)")
        #expect(row("slot-1", "slots", slots[1], "sh"), "\(rows)")
        #expect(row("claim", "claimed", claim, "bash"), "\(rows)")
        #expect(stage.who("slots").count == 2 && stage.who("claimed").count == 1)
        for child in [lock, shared, claim] + slots { #expect(child.outcome().code == 0) }
        // The claim is stale now, and still PENDING.
        #expect(stage.who().allSatisfy { $0[0] == "claim" })
    }

    /// Of a claim that `run` has made, and where the command has another name than its own.
    @Test(arguments: ["flock-cache", "fc"]) func aCommandThatRunsIsNamed(_ name: String) {
        let child = stage.start(
            """
            ln -s "$(command -v flock-cache)" $WORK/\(name)
            exec 3>&1 4<&0
            exec $WORK/\(name) run k -- sh -c 'echo here >&3; cat <&4; :'
            """)
        #expect(child.line() == "here")
        let row = stage.script("$WORK/\(name) who k; id -un").text
        let fields = row.split(whereSeparator: { "\t\n".contains($0) })
        #expect(fields.count == 11 && fields[3] == "sh" && fields[8] == fields[10], "\(row)")
        #expect(child.outcome().code == 0)
    }

    @Test func ofOneKeyItAnswersOneWhereNobodyHasIt() {
        #expect(stage.run("who").code == 0)
        #expect(stage.run("who", "k").code == 1)
        #expect(names(in: stage.directory.path).isEmpty, "a look makes no store")
        let holder = stage.hold("k")
        #expect(stage.run("who", "k").code == 0)
        #expect(stage.run("who", "other").code == 1)
        #expect(holder.outcome().code == 0)
        let free = stage.run("who", "k")
        #expect(free.code == 1 && free.output.isEmpty && free.error.isEmpty, "\(free)")
        for (line, code) in [
            ("who ''", 64), ("who a b", 64), ("who --bad", 64), ("who >/dev/full", 0),
        ] {
            #expect(stage.script("flock-cache \(line)").code == Int32(code), "\(line)")
        }
    }

    @Test func aKilledHolderIsNotListed() {
        let holder = stage.hold("k")
        let other = stage.hold("--slots", "2", "s")
        #expect(stage.who().count == 2)
        holder.kill(SIGKILL)
        other.kill(SIGKILL)
        _ = (holder.wait(), other.wait())
        #expect(stage.who().isEmpty)
        #expect(stage.run("who", "k").code == 1)
        #expect(stage.run("who", "s").code == 1)
    }

    // Whose note it was is dead, and who holds the lock by other means leaves none.
    @Test(.enabled(if: hasPython, "needs python3"))
    func aDeadHolderIsNotNamedForWhatSomebodyElseHolds() throws {
        let holder = stage.hold("k")
        holder.kill(SIGKILL)
        _ = holder.wait()
        let other = stage.startPython("take(b'k'); print('held', flush=True); sys.stdin.read()")
        #expect(other.line() == "held")
        let row = try #require(stage.who("k").first)
        #expect(row[2] != "\(holder.id)", "\(row)")
        let busy = stage.lock("-n", "k", "--", "true")
        #expect(busy.code == 75 && !busy.error.contains("\(holder.id)"), "\(busy)")
    }

    // The last of them to come has gone; those who came before hold it still.
    @Test func ofSeveralReadersOneThatEndsDoesNotHideTheOthers() throws {
        let first = stage.hold("-s", "k")
        let second = stage.hold("-s", "k")
        #expect(second.outcome().code == 0)
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        let row = try #require(stage.who("k").first)
        #expect(row[0] == "shared", "\(row)")
        #expect(!stage.who().isEmpty)
        #expect(first.outcome().code == 0)
    }

    @Test(.enabled(if: hasPython, "needs python3"))
    func withoutABoardTheHolderIsUnknown() throws {
        let holders = [stage.hold("k"), stage.hold("-s", "r")]
        unlink(stage.store + "/board")
        for key in ["k", "r"] {
            let row = try #require(stage.who(key).first)
            #expect(Array(row[1...3]) == [key, "-", "-"], "\(row)")
            let outcome = stage.lock("-n", key, "--", "true")
            #expect(
                outcome.code == 75
                    && outcome.error.contains("held by a process that cannot be identified"),
                "\(outcome)")
        }
        #expect(stage.run("who", "k").code == 0)
        // What others then note is seen.
        let later = stage.hold("later")
        #expect(stage.who("later").first?[2] == "\(later.id)")
        for holder in holders + [later] { #expect(holder.outcome().code == 0) }
        #expect(stage.run("who", "k").code == 1)
    }

    @Test(arguments: ["zeros", "noise", "short", "empty"])
    func aBoardOfNonsenseIsNothingToGoBy(kind: String) {
        let holder = stage.hold("k")
        let header = Array((contents(of: stage.store + "/board") ?? []).prefix(64))
        let size = contents(of: stage.store + "/board")?.count ?? 0
        unlink(stage.store + "/board")
        switch kind {
        case "zeros":
            write(header + [UInt8](repeating: 0, count: size - 64), to: stage.store + "/board")
        case "noise":
            write(
                header + (64..<size).map { UInt8(truncatingIfNeeded: $0 &* 167) },
                to: stage.store + "/board")
        case "short": write(header, to: stage.store + "/board")
        default: write([], to: stage.store + "/board")
        }
        #expect(stage.run("who").code == 0)
        #expect(stage.run("who", "k").code == 0)
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        #expect(stage.lock("-w", "30ms", "k", "--", "true").code == 124)
        #expect(holder.outcome().code == 0)
        #expect(stage.lock("-w", "20", "k", "--", "true").code == 0)
    }

    // Whole, and yet nonsense: of a later version, or by somebody who may write to the store.
    @Test(.enabled(if: hasPython, "needs python3"), arguments: 1..<16)
    func aNoteOfNonsenseIsNothingToGoBy(word: Int) {
        let holder = stage.hold("k")
        let outcome = stage.python(
            """
            slot = place(b"k")[1] & 4095
            board = os.open(os.environ["FLOCK_CACHE_DIR"] + "/board", os.O_RDWR)
            offset = 4096 + 256 * 64 + slot * 160 + 16
            note = struct.unpack("16Q", os.pread(board, 128, offset))
            def check(words):
                value = 0xcbf29ce484222325
                for word in words: value = (value ^ word) * 0x100000001b3 & 0xffffffffffffffff
                return value | 1
            if note[0] != check(note[1:]): sys.exit("this is not how notes are checked")
            for value in [0, 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]:
                words = list(note)
                words[\(word)] = value
                words[0] = check(words[1:])
                os.pwrite(board, struct.pack("16Q", *words), offset)
                codes = [subprocess.call(["flock-cache", "-q"] + line.split(), stdout=subprocess.DEVNULL)
                    for line in ["who", "who k", "--json who", "lock -n k -- true", "lock -w 10ms k -- true"]]
                if codes != [0, 0, 0, 75, 124]: print(value, codes)
            """)
        #expect(outcome.code == 0 && outcome.output.isEmpty, "\(outcome)")
        #expect(holder.outcome().code == 0)
    }

    @Test(.enabled(if: hasPython, "needs python3")) func itsJSONIsValid() {
        let keys = ["k\t\n\u{1b}\"\\", "ä", String(repeating: "x", count: 73), "shared"]
        let holders = keys.map { $0 == "shared" ? stage.hold("-s", $0) : stage.hold($0) }
        stage.run("claim", "claimed")
        let outcome = stage.python(
            """
            import json, urllib.parse
            text = subprocess.run(["flock-cache", "--json", "who"], capture_output=True, text=True).stdout
            for line in sorted(text.splitlines()):
                it = json.loads(line)
                print(it["kind"], ascii(urllib.parse.unquote(it["key"]))[:20], it["whole"],
                    type(it["holder"]["pid"]).__name__, it["holder"]["liveness"])
            one = subprocess.run(["flock-cache", "who", "--json", "shared"], capture_output=True, text=True)
            print(json.loads(one.stdout)["key"], one.returncode)
            """)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(
            Set(outcome.text.split(separator: "\n").map(String.init)) == [
                "claim 'claimed' True int alive", #"lock 'k\t\n\x1b"\\' True int alive"#,
                #"lock '\xe4' True int alive"#,
                "lock 'xxxxxxxxxxxxxxxxxxx False int alive", "shared 'shared' True int alive",
                "shared 0",
            ], "\(outcome)")
        for holder in holders { #expect(holder.outcome().code == 0) }
    }

    @Test func namesWithControlCharactersAreEscaped() {
        let program = stage.directory("\u{1b}[2J\tx")
        symlink("/bin/sh", program)
        let key = "\u{1b}]0;x\u{7}\t\n\u{9b}"
        let holder = stage.startLock(key, "--", program, "-c", "echo held; cat")
        #expect(holder.line() == "held")
        for outcome in [stage.run("who"), stage.run("who", key)] {
            let lines = outcome.output.split(separator: 10)
            #expect(lines.count == 1, "\(outcome)")
            #expect(lines[0].count { $0 == 9 } == 9, "\(outcome)")
            #expect(lines[0].allSatisfy { $0 == 9 || $0 >= 0x20 && $0 < 0x7f }, "\(outcome)")
        }
        #expect(holder.outcome().code == 0)
    }

    @Test func longKeysAreToldApart() {
        // The board has the first 72 bytes.
        let start = String(repeating: "k", count: 72)
        let holders = [stage.hold(start + "a"), stage.hold(start + "b"), stage.hold(start)]
        #expect(stage.who().count == 3)
        #expect(stage.who().count { $0[1] == start + "…" } == 2)
        #expect(stage.who(start + "a").map { $0[2] } == ["\(holders[0].id)"])
        #expect(stage.who(start + "b").map { $0[2] } == ["\(holders[1].id)"])
        #expect(stage.who(start).map { $0[2] } == ["\(holders[2].id)"])
        #expect(stage.run("who", start + "c").code == 1)
        for holder in holders { #expect(holder.outcome().code == 0) }
    }

    @Test func itCountsWhoWaits() {
        let holder = stage.hold("k")
        let waiters = (0..<3).map { _ in stage.startLock("k", "--", "true") }
        #expect(waitUntil { stage.waiters(of: "k") == 3 })
        waiters[0].kill(SIGKILL)
        waiters[1].kill(SIGTERM)
        _ = (waiters[0].wait(), waiters[1].wait())
        #expect(holder.outcome().code == 0)
        #expect(waiters[2].finish().code == 0)
        let next = stage.hold("k")
        #expect(waitUntil { stage.waiters(of: "k") == 0 })
        #expect(next.outcome().code == 0)
    }

    @Test func watchingGoesOnUntilItIsEnded() {
        let holder = stage.hold("first")
        let watcher = Child(
            builtProducts + "/flock-cache", ["who", "--watch"], environment: stage.variables)
        #expect(watcher.line()?.hasPrefix("lock\tfirst\t\(holder.id)\tsh\t") == true)
        #expect(watcher.line()?.hasPrefix("lock\tfirst\t") == true)
        let second = stage.hold("second")
        #expect(holder.outcome().code == 0)
        var line: String? = ""
        repeat { line = watcher.line() } while line?.contains("first") == true
        #expect(line?.hasPrefix("lock\tsecond\t\(second.id)") == true)
        watcher.kill(SIGINT)
        #expect(watcher.wait() == .signal(SIGINT))
        // Whoever stops reading ends it.
        let piped = stage.script("flock-cache who --watch | head -1; echo ${PIPESTATUS[*]}")
        #expect(piped.text.hasSuffix("0 0\n"), "\(piped)")
        #expect(second.outcome().code == 0)
    }

    @Test(.enabled(if: hasPython, "needs python3")) func onATerminalItRefreshesInPlace() {
        let holder = stage.hold("k")
        let outcome = stage.python(
            """
            pid, terminal = pty.fork()
            if pid == 0: os.execvp("flock-cache", ["flock-cache", "who", "--watch"])
            text = b""
            while text.count(b"\\x1b[H") < 3: text += os.read(terminal, 4096)
            os.write(terminal, b"\\x03")
            parts = text.split(b"\\x1b[H")[1:3]
            print(code(pid), all(b"KIND" in part and b"k  " in part for part in parts))
            """)
        #expect(outcome.text == "-2 True\n", "\(outcome)")
        #expect(holder.outcome().code == 0)
    }
}
