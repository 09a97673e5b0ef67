import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Whether a file of a test can be made immutable.
private let canBeImmutable: Bool = {
    guard isRoot, isInstalled("chattr") else { return false }
    let directory = TemporaryDirectory()
    write([], to: directory("file"))
    defer { TestSupport.run("chattr", ["-i", directory("file")]) }
    return TestSupport.run("chattr", ["+i", directory("file")]).code == 0
}()

/// As whom a command is run that owns nothing.
private let asNobody = nobody

/// What goes through the whole store goes on past one thing in its way, names it, and fails at its end.
@Suite(.ownThreads) struct PassProcessTests {
    @Test(.enabled(if: canBeImmutable, "needs root, and chattr +i on this file system"))
    func anImmutableRecordKeepsNobodyElseFromGoing() throws {
        let stage = Stage()
        for key in ["a", "b", "c", "d"] { stage.publish(key, "v") }
        for key in ["x", "y", "z"] { stage.script("flock-cache claim \(key); true") }
        let held = [try #require(stage.entryFile("b")), try #require(stage.entryFile("y.pending"))]
        for path in held { TestSupport.run("chattr", ["+i", path]) }
        defer { for path in held { TestSupport.run("chattr", ["-i", path]) } }
        for round in 1...2 {
            let outcome = stage.run("reap", "--max-entries", "0")
            #expect(outcome.code == 77, "\(outcome)")
            for path in held {
                #expect(outcome.error.split(separator: path).count == 2, "once: \(outcome)")
            }
            let lines = outcome.error.split(separator: "\n")
            #expect(lines.count == 2 && lines[0].contains(": passed over: "), "\(outcome)")
            #expect(
                lines[1].hasSuffix("; it is the first of 2 failures; all else was done"),
                "\(outcome)")
            #expect(stage.run("-q", "reap", "--max-entries", "0").error == outcome.error)
            let gone = outcome.text.split(separator: "\n").map { String($0.prefix(1)) }.sorted()
            #expect(gone == (round == 1 ? ["a", "c", "d", "x", "z"] : []), "\(outcome)")
        }
        #expect(
            stage.run("list").text.split(separator: "\n").map { $0.split(separator: "\t")[1] }
                .sorted() == ["b", "y"])
        #expect(stage.run("stats").text.hasPrefix("pending 1\nready 1\n"))
        for path in held { TestSupport.run("chattr", ["-i", path]) }
        let outcome = stage.run("reap", "--max-entries", "0")
        #expect(outcome.code == 0 && outcome.text.split(separator: "\n").count == 2, "\(outcome)")
    }

    /// A single failure is the error of the command, and no notice as well; what comes before another error is
    /// told too.
    @Test(.enabled(if: canBeNobody, "needs root, setpriv, and a build that others can read"))
    func aFailureIsToldOnce() throws {
        let stage = Stage()
        chown(stage.directory.path, 65534, 65534)
        func nobody(_ line: String) -> Outcome {
            stage.script("setpriv \(asNobody.joined(separator: " ")) timeout 20 \(line)")
        }
        for key in ["a", "b"] {
            #expect(nobody("flock-cache run \(key) -- echo v").code == 0)
        }
        let unreadable = try #require(stage.entryFile("b"))
        chmod(unreadable, 0)
        for line in ["list", "-q list", "reap --max-age 0"] {
            let outcome = nobody("flock-cache \(line)")
            #expect(outcome.code == 77, "\(line): \(outcome)")
            #expect(outcome.error.split(separator: "\n").count == 1, "\(line): \(outcome)")
            #expect(outcome.error.contains(unreadable), "\(line): \(outcome)")
            #expect(outcome.error.hasSuffix("; all else was done\n"), "\(line): \(outcome)")
        }
        let json = nobody("flock-cache --json list")
        #expect(json.error.split(separator: "\n").count == 1, "\(json)")
        #expect(json.error.contains("\"exit\":77"), "\(json)")
        // The output is full: that is another error, at the end.
        #expect(nobody("flock-cache run c -- echo v").code == 0)
        let full = nobody("sh -c 'flock-cache list >/dev/full'")
        #expect(full.code != 0 && full.error.contains(unreadable), "\(full)")
    }

    @Test(.enabled(if: canBeNobody, "needs root, setpriv, and a build that others can read"))
    func unreadableRecordsArePassedOver() throws {
        let stage = Stage()
        chown(stage.directory.path, 65534, 65534)
        func nobody(_ arguments: String...) -> Outcome {
            TestSupport.run(
                "setpriv",
                asNobody + ["timeout", "20", "flock-cache"] + arguments,
                environment: stage.variables)
        }
        for key in ["a", "b", "c"] {
            #expect(nobody("claim", "--owner", "\(getpid())", key).code == 0)
            #expect(nobody("finalize", key, "v").code == 0)
        }
        for key in ["p", "q"] { #expect(nobody("claim", "--owner", "\(getpid())", key).code == 0) }
        // A value whose record cannot be read, with a claim beside it.
        let unreadable = try #require(stage.entryFile("b"))
        write(try stage.record("p.pending"), to: unreadable + ".pending")
        chown(unreadable + ".pending", 65534, 65534)
        let closedClaim = try #require(stage.entryFile("q.pending"))
        chmod(unreadable, 0)
        chmod(closedClaim, 0)
        // Counted anew, as after a boot.
        write([], to: stage.store + "/locks/shards")

        let stats = nobody("--json", "stats")
        #expect(stats.code == 77, "\(stats)")
        #expect(stats.text.contains("\"ready\":3") && stats.text.contains("\"exact\":false"))
        #expect(stats.error.contains(unreadable), "\(stats)")
        let list = nobody("list")
        #expect(list.code == 77, "\(list)")
        for key in ["a", "c", "p"] { #expect(list.text.contains("\t\(key)\t"), "\(list)") }
        for path in [unreadable, closedClaim] { #expect(list.error.contains(path), "\(list)") }
        let who = nobody("who")
        #expect(who.code == 77, "\(who)")
        #expect(who.text.contains("claim\tp\t"), "\(who)")
        #expect(who.error.contains(closedClaim), "\(who)")
        // One such record keeps nobody from the keys beside it.
        let beside = neighbours(of: "b", 1)[0]
        #expect(nobody("claim", "--owner", "\(getpid())", beside).code == 0)
        #expect(nobody("finalize", beside, "v").code == 0)
        let reap = nobody("reap", "--max-age", "0")
        #expect(reap.code == 77, "\(reap)")
        #expect(
            Set(reap.text.split(separator: "\n"))
                == ["a\ttoo-old", "c\ttoo-old", "\(beside)\ttoo-old"], "\(reap)")
        chmod(unreadable, 0o600)
        chmod(closedClaim, 0o600)
        #expect(nobody("reap").code == 0)
        #expect(nobody("stats").code == 0)
    }

    /// Keys of the same shard: the low 8 bits of FNV-1a 64.
    private func neighbours(of key: String, _ count: Int) -> [String] {
        func shard(_ key: String) -> UInt64 {
            key.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } & 0xff
        }
        return Array(
            (0...).lazy.map { "n\($0)" }.filter { shard($0) == shard(key) }.prefix(count))
    }

    /// Each system call of a reaper fails once with EIO.
    @Test func aReaperNeverSaysZeroWithSomethingLeft() {
        var (wasOneLeft, number, wasReached) = (false, 0, true)
        while wasReached {
            number += 1
            let stage = Stage()
            for key in ["a", "b", "c"] { stage.publish(key, "v") }
            stage.script("flock-cache claim dead; true")
            let outcome = stage.script(
                "FLOCK_CACHE_FAULT=\(number):5 flock-cache reap --max-entries 0")
            let left = stage.entryFiles.count
            #expect(left == 0 || outcome.code != 0, "call \(number): \(outcome)")
            #expect(outcome.code == 0 || !outcome.error.isEmpty, "call \(number): \(outcome)")
            if outcome.code == 74 && left == 1 { wasOneLeft = true }
            // Whatever failed, the next is as if nothing had.
            let again = stage.run("reap", "--max-entries", "0")
            #expect(again.code == 0 && stage.entryFiles.isEmpty, "call \(number): \(again)")
            #expect(stage.run("stats").text == "pending 0\nready 0\nbytes 0\n")
            wasReached = outcome.code != 0 || number < 30
        }
        #expect(wasOneLeft, "in \(number) calls no record was passed over")
    }

    @Test(arguments: Planted.allCases)
    func whatIsPlantedInADirectoryIsNamedAndNeitherWaitedForNorFollowed(planted: Planted) throws {
        let stage = Stage()
        stage.publish("k", "v")
        stage.run("claim", "mine")
        #expect(stage.run("lease", "acquire", "chief", "--ttl", "1h").code == 0)
        mkdir(stage.store + "/damaged", 0o700)
        let shard = try #require(stage.entryFile("k")).dropLast(2)
        let lease = try #require(
            names(in: stage.store + "/leases").first.map { "\(stage.store)/leases/\($0)" })
        let planting = [
            // In the place of a record, named; the others are nobody's names.
            "\(shard)/planted", "\(shard)/planted.pending", "\(lease)/planted",
            "\(stage.store)/damaged/planted", "\(stage.store)/entries/zz",
            "\(stage.store)/locks/planted", "\(stage.store)/planted",
        ]
        for path in planting { planted.make(at: path, stage) }
        for (command, named) in [
            ("list", [0, 1]), ("who", [1, 2]), ("stats", [0, 1]), ("reap", []),
            ("reap --max-entries 9", [0, 1]),
        ] {
            let outcome = stage.script("timeout 20 flock-cache \(command)")
            #expect(outcome.code == 0, "\(command): \(outcome)")
            for index in named {
                #expect(outcome.error.contains(planting[index]), "\(command): \(outcome)")
            }
        }
        #expect(stage.run("list").text.split(separator: "\n").count == 2)
        #expect(stage.run("who").text.split(separator: "\n").count == 2)
        #expect(stage.run("stats").text.hasPrefix("pending 1\nready 1\n"))
        for path in planting {
            var status = stat()
            #expect(lstat(path, &status) == 0, "\(path) was touched")
        }
        // In the place of a directory: what is in the others is found all the same, and the rest is a failure.
        let empty = (0..<256).lazy.map { String($0 + 0x100, radix: 16).dropFirst() }
            .first { !names(in: stage.store + "/entries").contains(String($0)) }
        planted.make(at: "\(stage.store)/entries/\(empty ?? "")", stage)
        if planted == .directory { return }
        for command in ["list", "stats", "reap", "who"] {
            let outcome = stage.script("timeout 20 flock-cache \(command)")
            #expect(outcome.code == 66, "\(command): \(outcome)")
            #expect(outcome.error.contains("entries/\(empty ?? "")"), "\(command): \(outcome)")
        }
        #expect(stage.run("list").text.split(separator: "\n").count == 2)
        #expect(stage.run("stats").text.hasPrefix("pending 1\nready 1\n"))
    }

    /// Locks in the place of which something else stands cannot be taken, and nobody waits for them.
    @Test(arguments: Planted.allCases, ["shards", "sessions"])
    func whatIsPlantedInThePlaceOfLocksIsNotWaitedFor(planted: Planted, part: String) throws {
        let stage = Stage()
        stage.publish("k", "v")
        let run = stage.start("flock-cache run job -- sleep 1000")
        while stage.run("get", "job").code != 75 {}
        for name in names(in: stage.store + "/locks") where name.hasPrefix(part) {
            unlink("\(stage.store)/locks/\(name)")
            planted.make(at: "\(stage.store)/locks/\(name)", stage)
        }
        for command in ["list", "who", "stats", "reap", "reap --max-entries 0", "claim new"] {
            let outcome = stage.script("timeout 20 flock-cache \(command)")
            #expect(outcome.code != 124, "\(command): \(outcome)")
            if outcome.code != 0 {
                #expect(outcome.error.contains("flock-cache: cannot"), "\(command): \(outcome)")
            }
        }
        if planted == .link {
            #expect(contents(of: stage.directory("outside")) == Array("outside".utf8))
        }
        run.kill(SIGKILL)
        _ = run.wait()
    }

    // MARK: Damaged records
}
