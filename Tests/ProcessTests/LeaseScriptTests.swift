import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// The `lease` commands: what they print, how they end, and whom a lease ends with.
@Suite(.ownThreads) struct LeaseScriptTests {
    private let stage = Stage()

    private func acquire(_ name: String, _ options: String...) throws -> UInt64 {
        let outcome = TestSupport.run(
            builtProducts + "/flock-cache", ["lease", "acquire", name] + options,
            environment: stage.variables)
        #expect(outcome.code == 0, "\(outcome)")
        return try #require(outcome.generation)
    }

    private func lease(_ verb: String, _ name: String, _ generation: UInt64) -> Int32 {
        stage.run("lease", verb, name, "--generation", "\(generation)").code
    }

    @Test func itsLife() throws {
        let first = try acquire("primary", "--ttl", "1m")
        let busy = stage.run("lease", "acquire", "primary", "--ttl", "1m")
        #expect(busy.code == 75 && busy.output.isEmpty && busy.error.contains("pid \(getpid())"))
        let waited = stage.run("lease", "acquire", "primary", "--ttl", "1m", "-w", "50ms")
        #expect(waited.code == 124 && waited.output.isEmpty)
        #expect(stage.run("lease", "acquire", "primary", "--ttl", "1m", "-w", "0").code == 75)
        #expect(lease("renew", "primary", first) == 0 && lease("check", "primary", first) == 0)
        #expect(lease("check", "primary", first + 1) == 76)
        #expect(lease("renew", "primary", first + 1) == 76)
        #expect(lease("release", "primary", first + 1) == 76)
        #expect(lease("release", "primary", first) == 0)
        #expect(lease("release", "primary", first) == 0, "twice is fine")
        #expect(lease("check", "primary", first) == 76 && lease("renew", "primary", first) == 76)
        let second = try acquire("primary", "--ttl", "1m")
        #expect(second > first)
        #expect(lease("release", "primary", first) == 76, "until somebody else has it")
        #expect(lease("check", "primary", second) == 0)
        let json = stage.run("lease", "acquire", "other", "--ttl", "90", "--json").text
        #expect(
            json.hasPrefix(
                "{\"state\":\"acquired\",\"key\":\"other\",\"text\":\"other\",\"generation\":")
                && json.contains("\"left\":"))
        let who = stage.run("who").text.split(separator: "\n").map { $0.split(separator: "\t") }
        #expect(who.map { $0[0] } == ["lease", "lease"])
        #expect(stage.run("who", "primary").text.contains("\t59\t"))
        #expect(stage.run("stats").text == "pending 0\nready 0\nbytes 0\n")
        #expect(stage.run("list").text.isEmpty && stage.run("reap").code == 0)
        #expect(lease("check", "primary", second) == 0)
    }

    @Test func whatIsWrongIsSaid() {
        for words in [
            ["lease"], ["lease", "acquire"], ["lease", "acquire", "k"], ["lease", "begin", "k"],
            ["lease", "renew", "k"], ["lease", "acquire", "k", "--ttl", "0"],
            ["lease", "acquire", "k", "--ttl", "x"], ["lease", "acquire", "k", "--owner", "none"],
            ["lease", "acquire", "k", "--ttl", "1", "--slots", "0"], ["lease", "renew"],
            ["lease", "renew", "k", "--generation", "x"], ["lease", "acquire", "", "--ttl", "1"],
        ] {
            let outcome = TestSupport.run(
                builtProducts + "/flock-cache", words, environment: stage.variables)
            #expect(outcome.code == 64 && outcome.output.isEmpty, "\(words): \(outcome)")
            #expect(outcome.error.split(separator: "\n").count == 1, "\(words): \(outcome)")
        }
        #expect(stage.run("lease", "acquire", "k", "--owner", "1").code == 78)
        // Without a store nobody has anything, and asking makes none.
        #expect(stage.run("lease", "renew", "k", "--generation", "5").code == 76)
        #expect(stage.run("lease", "check", "k", "--generation", "5").code == 76)
        #expect(stage.run("lease", "release", "k", "--generation", "5").code == 0)
        #expect(access(stage.store, F_OK) != 0)
        #expect(stage.run("help", "lease").text.contains("lease acquire"))
        #expect(stage.run("help", "lease", "run").text.contains("--kill-after"))
        #expect(stage.run("lease", "--help").text == stage.run("help", "lease").text)
        #expect(stage.run("lease", "run", "--help").text == stage.run("help", "lease run").text)
    }

    /// Until that process ends, whatever the time to live of those who ask.
    @Test func itEndsWithItsOwner() throws {
        let owner = stage.start("read line")
        let generation = try acquire("key", "--owner", "\(owner.id)")
        #expect(stage.run("lease", "acquire", "key", "--ttl", "1").code == 75)
        #expect(stage.run("who", "key").text.hasPrefix("lease\tkey\t\(owner.id)\tbash\t"))
        #expect(lease("renew", "key", generation) == 0 && lease("check", "key", generation) == 0)
        let waiter = stage.start("flock-cache lease acquire key --ttl 1m -w 30s; echo $?")
        owner.kill(SIGKILL)
        _ = owner.wait()
        #expect(lease("check", "key", generation) == 76)
        #expect(try #require(waiter.line().flatMap { UInt64($0) }) > generation)
        #expect(waiter.line() == "0")
        // Whatever comes first: its time.
        let other = stage.start("read line")
        let short = try acquire("short", "--owner", "\(other.id)", "--ttl", "1ms")
        #expect(waitUntil { lease("check", "short", short) == 76 })
        #expect(other.outcome().code == 1)
        #expect(stage.run("lease", "acquire", "dead", "--owner", "\(owner.id)").code == 78)
    }

    /// 50 permits, 60 ask: 50 get one, 10 are told to wait; those of the killed come back at once.
    @Test func permits() throws {
        let owners = (0..<60).map { _ in Child("sleep", ["600"], environment: stage.variables) }
        let children = owners.map { owner in
            stage.start("flock-cache lease acquire pool --slots 50 --owner \(owner.id); echo $?")
        }
        var slots: [Int] = []
        var busy = 0
        var has: [Int32] = []
        for (owner, child) in zip(owners, children) {
            let lines = String(decoding: child.rest(), as: UTF8.self).split(separator: "\n")
            switch lines.last {
            case "0":
                slots.append(Int(lines[0].split(separator: " ")[1]) ?? -1)
                has.append(owner.id)
            case "75": busy += 1
            default: Issue.record("\(lines)")
            }
        }
        #expect(slots.sorted() == Array(0..<50) && busy == 10)
        for owner in owners where has.prefix(5).contains(owner.id) {
            owner.kill(SIGKILL)
            _ = owner.wait()
        }
        let again = (0..<6).map { _ in
            stage.run("lease", "acquire", "pool", "--slots", "50", "--ttl", "1h")
        }
        #expect(again.map(\.code) == [0, 0, 0, 0, 0, 75])
        #expect(Set(again.prefix(5).map(\.text)).count == 5)
    }

    /// The same with a time to live: a killed one's permit comes back when its time is over.
    @Test func permitsRunOut() {
        let outcome = stage.script(
            """
            for i in 1 2 3; do flock-cache lease acquire pool --slots 2 --ttl 3s >/dev/null; echo $?; done
            flock-cache lease acquire pool --slots 2 --ttl 3s -w 30s >/dev/null; echo $?
            """)
        #expect(outcome.text == "0\n0\n75\n0\n", "\(outcome)")
    }

    @Test func aWinThatNobodyLearnsOfIsGivenBack() {
        let outcome = stage.script("flock-cache lease acquire key --ttl 1h >/dev/full; echo $?")
        #expect(outcome.text == "74\n" && outcome.error.contains("released"), "\(outcome)")
        #expect(stage.run("lease", "acquire", "key", "--ttl", "1m").code == 0)
    }

    /// Released, renewed, run out and taken again where there is no room left.
    @Test(.enabled(if: canMount, "needs root and mounts"), arguments: ["tmpfs", "ext4"])
    func onAFullDisk(_ kind: String) {
        let mount =
            kind == "tmpfs"
            ? "mount -t tmpfs -o size=2m none /mnt"
            : "truncate -s 8M $WORK/image && mkfs.ext4 -q $WORK/image && mount -o loop $WORK/image /mnt"
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "sh", "-c",
                """
                \(mount) || exit 9
                export FLOCK_CACHE_DIR=/mnt/store
                a=$(flock-cache lease acquire a --ttl 1h); b=$(flock-cache lease acquire b --ttl 300ms)
                cat /dev/zero >/mnt/fill 2>/dev/null; : >>/mnt/fill
                flock-cache lease renew a --generation $a; echo $?
                flock-cache lease check a --generation $a; echo $?
                flock-cache lease release a --generation $a; echo $?
                flock-cache lease acquire a --ttl 1h >/dev/null; echo $?
                flock-cache lease acquire b --ttl 1h -w 30s >/dev/null; echo $?
                umount /mnt
                """,
            ], environment: stage.variables)
        #expect(outcome.text == "0\n0\n0\n0\n0\n", "\(outcome)")
    }
}
