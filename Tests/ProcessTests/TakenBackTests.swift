import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A server that takes locks back, or does not answer.
///
/// Debug builds take what it answers from a file.
@Suite(.ownThreads) struct TakenBackTests {
    private var stage = Stage()
    private var server: String { stage.directory("server") }

    init() {
        let table = stage.directory("mounts")
        write(
            Array(
                "36 25 0:34 / /m rw,relatime shared:1 - nfs4 a:/export rw,hard,lease_time=1\n".utf8),
            to: table)
        stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = "26985"
        stage.variables["FLOCK_CACHE_MOUNT"] = "nfs4 rw,vers=4.2,hard"
        stage.variables["FLOCK_CACHE_MOUNT_TABLE"] = table
        stage.variables["FLOCK_CACHE_SERVER"] = stage.directory("server")
    }

    /// COMMAND says that it has begun, and then that it was told to end.
    private let trap = "trap 'echo told >&2; exit 0' TERM"

    /// Runs COMMAND under something until the server answers otherwise.
    private func outcome(_ answer: String, _ words: [String], _ trap: String? = nil) -> Outcome {
        let script = "\(trap ?? self.trap); : > $0; while :; do sleep 0.05; done"
        let child = Child(
            builtProducts + "/flock-cache",
            words + ["--", "bash", "-c", script, stage.directory("begun")],
            environment: stage.variables)
        #expect(waitUntil { contents(of: stage.directory("begun")) != nil })
        write(Array(answer.utf8), to: server)
        return child.finish()
    }

    @Test(arguments: [["lock", "key"], ["lock", "--slots", "2", "key"], ["run", "key"]])
    func commandEndsWhenTheServerHasTakenLocksBack(words: [String]) {
        let outcome = outcome("lost", words)
        #expect(outcome.code == 76, "\(outcome)")
        #expect(outcome.error.contains("told"))
        #expect(outcome.error.contains("the server has taken this host's locks back"))
    }

    @Test(arguments: [["lock", "key"], ["run", "key"], ["run", "--stale-after", "1h", "key"]])
    func commandEndsWhenTheServerDoesNotAnswer(words: [String]) {
        let outcome = outcome("silent", words)
        #expect(outcome.code == 76, "\(outcome)")
        #expect(outcome.error.contains("told"))
        #expect(outcome.error.contains("no answer from the file system for"))
    }

    /// COMMAND was told to end while this process was stopped, and has ended as if it were done.
    @Test func whatCommandPrintedUntilThenIsNotPublished() {
        let script = "trap 'exit 0' TERM; echo half; : > $0; while :; do sleep 0.05; done"
        let child = Child(
            builtProducts + "/flock-cache",
            ["run", "key", "--", "bash", "-c", script, stage.directory("begun")],
            environment: stage.variables)
        #expect(waitUntil { contents(of: stage.directory("begun")) != nil })
        child.kill(SIGSTOP)
        #expect(child.waitForStop())
        #expect(waitUntil { commands(of: child.id).isEmpty })
        child.kill(SIGCONT)
        let outcome = child.finish()
        #expect(outcome.code == 76, "\(outcome)")
        #expect(stage.run("get", "key").code == 1)
    }

    @Test func commandIsKilledThatDoesNotEnd() {
        let outcome = outcome(
            "lost", ["lock", "key", "--kill-after", "100ms"], "trap '' TERM")
        #expect(outcome.code == 76, "\(outcome)")
    }

    /// A server that answers keeps COMMAND going for many of its leases.
    @Test func commandGoesOnWhileTheServerAnswers() {
        let start = BootTime.now
        let outcome = stage.run("lock", "key", "--", "sleep", "2.5")
        #expect(outcome.code == 0, "\(outcome)")
        #expect(start.milliseconds() >= 2500)
    }

    /// What was lost just before COMMAND's end is told.
    @Test func aLossAtTheEndIsTold() {
        let outcome = stage.run("lock", "key", "--", "bash", "-c", "echo lost > \(server)")
        #expect(outcome.code == 76, "\(outcome)")
    }

    /// An empty file is never read from the server.
    @Test func whatIsAskedAboutIsNotEmpty() {
        #expect(stage.run("lock", "key", "--", "true").code == 0)
        #expect(stage.run("run", "key", "--", "true").code == 0)
        let locks = names(in: stage.store + "/locks").filter {
            // The mutexes have content of their own, and nobody asks for locks through notes.
            !["shards", "holders"].contains($0)
        }
        #expect(locks.count >= 2)
        for file in locks {
            #expect(
                contents(of: "\(stage.store)/locks/\(file)") == Array("flock-cache locks 1\n".utf8))
        }
    }

    // MARK: The library

    @Test func theLibraryTells() {
        let peer = PeerProcess(stage.store, environment: stage.variables)
        #expect(peer.ask("lock x 0 key").hasPrefix("held"))
        #expect(peer.ask("is-lost") == "no")
        write(Array("lost".utf8), to: server)
        #expect(peer.ask("is-lost") == "yes")
    }

    /// A session whose lock is lost names itself in no more claims: others would take them for a dead one's.
    @Test func aLostSessionIsFollowedByAnother() throws {
        let peer = PeerProcess(stage.store, environment: stage.variables)
        let holders = try ["a", "b", "c"].map { key in
            if key == "c" { write(Array("lost".utf8), to: server) }
            #expect(peer.ask("claim \(key)").hasPrefix("won "))
            let text = try stage.record(key + ".pending")
            return unsafe text.withUnsafeBytes { unsafe ClaimSection.parse($0)?.section.holder }
        }
        #expect(holders[0] == holders[1])
        #expect(holders[1] != holders[2])
    }
}
