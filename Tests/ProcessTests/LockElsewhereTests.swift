import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Who holds locks on a network file system, where there is no board to say it.
@Suite(.ownThreads) struct LockElsewhereTests {
    private var stage = Stage()
    private var file: String { stage.store + "/locks/holders" }

    init() { stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = "26985" }

    private func hold(_ words: String...) -> Child {
        let holder = Child(
            builtProducts + "/flock-cache",
            ["lock"] + words + ["--", "sh", "-c", "echo held; read end; exit 0"],
            environment: stage.variables)
        #expect(holder.line() == "held")
        return holder
    }

    private func end(_ holder: Child) { #expect(holder.outcome().code == 0) }

    private var host: String {
        let name = contents(of: "/proc/sys/kernel/hostname") ?? []
        return String(decoding: name.filter { $0 != 10 }, as: UTF8.self)
    }

    /// Makes a note one of another machine.
    private func moveElsewhere(_ key: Store.Key, host: String, breaking: Bool = false) throws {
        let start = try LockName(key).slot(0) * 256
        var bytes = try #require(contents(of: file))
        let note = try #require(
            HolderNote(Array(bytes[start..<start + HolderNote.byteCount])))
        let moved = HolderNote(
            note.note, boot: BootID(high: 1, low: 2), host: Array(host.utf8))
        bytes.replaceSubrange(start..<start + HolderNote.byteCount, with: moved.bytes)
        if breaking { bytes[start + 130] ^= 1 }
        write(bytes, to: file)
    }

    @Test func theHolderHasAHost() throws {
        let holder = hold("deploy")
        let busy = stage.run("lock", "-n", "deploy", "--", "true")
        #expect(busy.code == 75)
        #expect(busy.error.contains(" s by pid \(holder.id) (sh) on \(host)"), "\(busy)")
        let who = stage.run("who").text.split(separator: "\t")
        #expect(who.count == 10 && who[1] == "deploy" && who[2] == "\(holder.id)", "\(who)")
        end(holder)
        #expect(stage.run("who").output.isEmpty)
        #expect(stage.lock("-n", "deploy", "--", "true").code == 0)
    }

    /// Its clock and its processes say nothing here.
    @Test func ofAnotherMachineNeitherAgeNorProcessIsJudged() throws {
        let holder = hold("deploy")
        try moveElsewhere("deploy", host: "build3")
        let busy = stage.run("lock", "-n", "deploy", "--", "true")
        #expect(
            busy.error.contains("held by pid \(holder.id) (sh) on build3, liveness unknown"),
            "\(busy)")
        let json = stage.run("who", "deploy", "--json").text
        #expect(json.contains("\"host\":\"build3\""), "\(json)")
        // What is half of two notes is none.
        try moveElsewhere("deploy", host: "build3", breaking: true)
        let unknown = stage.run("lock", "-n", "deploy", "--", "true")
        #expect(unknown.code == 75 && !unknown.error.contains("build3"), "\(unknown)")
        end(holder)
    }

    /// Of several who share it the last to come is known, until it goes.
    @Test func whoSharesALockIsForgottenWhenItGoes() throws {
        let (first, second) = (hold("-s", "k"), hold("-s", "k"))
        #expect(stage.run("who", "k").text.contains("\t\(second.id)\t"))
        end(second)
        let who = stage.run("who", "k")
        #expect(who.code == 0 && !who.text.contains("\t\(second.id)\t"), "\(who)")
        end(first)
        #expect(stage.run("who", "k").code == 1)
    }

    /// Of one who shared the lock nothing is believed where somebody has it alone.
    @Test func aFormerHolderOfAnotherKindIsNotNamed() throws {
        let former = hold("-s", "k")
        let noted = try #require(contents(of: file))
        end(former)
        let holder = hold("k")
        write(noted, to: file)
        let busy = stage.run("lock", "-n", "k", "--", "true")
        #expect(busy.code == 75 && busy.error.contains("cannot be identified"), "\(busy)")
        let who = stage.run("who", "k").text
        #expect(who.hasPrefix("lock\tk\t-\t"), "\(who)")
        end(holder)
    }

    @Test func slotsAreNotedEach() throws {
        let holders = [hold("--slots", "3", "gpu"), hold("--slots", "3", "gpu")]
        let who = stage.run("who").text.split(separator: "\n")
        #expect(who.count == 2, "\(who)")
        for holder in holders { #expect(who.contains { $0.contains("\t\(holder.id)\t") }) }
        for holder in holders { end(holder) }
    }

    /// A lock is had all the same, and nobody can say by whom.
    @Test func whereNothingCanBeNotedTheLockIsHeld() throws {
        #expect(stage.lock("k", "--", "true").code == 0)
        removeTree(file)
        #expect(mkdir(file, 0o700) == 0)
        let holder = hold("k")
        let busy = stage.run("lock", "-n", "k", "--", "true")
        #expect(busy.code == 75 && busy.error.contains("cannot be identified"), "\(busy)")
        end(holder)
    }

    /// On a local file system the board says it.
    @Test func aLocalStoreHasNoSuchFile() throws {
        let local = Stage()
        #expect(local.lock("k", "--", "true").code == 0)
        #expect(!names(in: local.store + "/locks").contains("holders"))
    }
}
