import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A session's claims last as long as its process, exactly.
@Suite(.ownThreads) struct SessionTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    @Test func aClaimOfAKilledProcessIsWonAtOnce() throws {
        let store = try Store(at: path)
        for round in 0..<10 {
            let key = Store.Key("key-\(round)")
            let peer = PeerProcess(path)
            #expect(peer.ask("claim \(key)").hasPrefix("won "))
            #expect(try store.claimAndFinalize(key, []) == .pending)
            peer.kill()
            #expect(try store.claimAndFinalize(key, []).isWon)
        }
        #expect(leftovers(in: path).isEmpty)
    }

    @Test func ofManyThatMeetAKilledProcessExactlyOneTakesOver() throws {
        let gate = Gate(directory("gate"))
        let peers = (0..<20).map { _ in PeerProcess(path) }
        for peer in peers { #expect(peer.ask("gate \(gate.path)") == "done") }
        for round in 0..<20 {
            let doomed = PeerProcess(path)
            #expect(doomed.ask("claim key-\(round)").hasPrefix("won "))
            doomed.kill()
            let answers = gate.release(peers) { _ in "race key-\(round)" }
            #expect(answers.count { $0.hasPrefix("won ") } == 1, "\(answers)")
            #expect(answers.count { $0 == "pending" } == 19, "\(answers)")
        }
    }

    /// Otherwise the file would seem to be another one's, made later, and prove nothing of the claim.
    @Test func noClaimIsOlderThanTheFileOfItsSession() throws {
        for round in 0..<20 {
            let path = directory("store-\(round)")
            let claim = try #require(try Store(at: path).win("key"))
            let record = try #require(contents(of: file(of: "key", in: path) + ".pending"))
            let section = try #require(record.withUnsafeBytes { ClaimSection.parse($0)?.section })
            let file = try #require(names(in: path + "/locks").first { $0.hasPrefix("sessions-") })
            let born = try File.open(path: FileName("\(path)/locks/\(file)")).birthTime()
            #expect(section.since.wall >= (born ?? 0) / 1000, "born \(born ?? 0)")
            try claim.abandon()
        }
    }

    /// The file of its session says nothing any more, and the process has a number until it is waited for.
    @Test func aProcessThatHasEndedUnaskedHoldsNothingWithoutItsFile() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("first", []).isWon)
        // A claim as old as `locks` is taken for one of a copied store, whose session is over.
        let born = try Directory.open(path: FileName(path + "/locks")).birthTime() ?? 0
        #expect(waitUntil { Stamp.now.wall > born / 1000 + 50_000 })
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won "))
        for name in names(in: path + "/locks") where name.hasPrefix("sessions-") {
            unlink("\(path)/locks/\(name)")
        }
        #expect(try store.claimAndFinalize("key", []) == .pending)
        peer.process.kill(SIGKILL)
        waitForZombie(peer.process.id)
        #expect(try store.claimAndFinalize("key", []).isWon)
    }

    /// A program that runs for long opens its store once; what it holds in a removed file is seen by none.
    @Test func aSessionWhoseFileWasRemovedTakesAnotherNumber() throws {
        let store = try Store(at: path)
        let first = try #require(try store.win("first"))
        let id = try store.session.id()
        for name in names(in: path + "/locks") where name.hasPrefix("sessions-") {
            #expect(unlink("\(path)/locks/\(name)") == 0)
        }
        // It looks once a second.
        #expect(waitUntil { (try? store.session.id()) != id })
        let second = try #require(try store.win("second"))
        let other = try Store(at: path)
        #expect(try other.claimAndFinalize("second", []) == .pending)
        // What it has claimed before is its own still.
        #expect(try store.claimAndFinalize("first", []) == .pending)
        try first.finalize([])
        try second.finalize([])
        #expect(try other.counts().ready == 2)
    }

    @Test func aStoppedProcessIsAlive() throws {
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won "))
        peer.process.kill(SIGSTOP)
        #expect(peer.process.waitForStop())
        let store = try Store(at: path)
        switch try store.claim("key") {
        case .pending(let holder):
            #expect(holder.liveness == .alive)
            #expect(holder.processID == peer.process.id)
            #expect(holder.command == "flock-cache-pee")
        default: Issue.record("a stopped process keeps its claim")
        }
        #expect(try store.reap().isEmpty)
        peer.process.kill(SIGCONT)
        #expect(peer.ask("finalize value") == "done")
        #expect(try store.bytes(of: "key") == Array("value".utf8))
    }

    @Test func aForkedChildKeepsNoLockOfItsDeadParent() throws {
        let store = try Store(at: path)
        for round in 0..<5 {
            let key = Store.Key("key-\(round)")
            let peer = PeerProcess(path)
            #expect(peer.ask("claim \(key)").hasPrefix("won "))
            // Parent and child each say a line, in any order.
            let answers = [peer.ask("fork"), peer.process.line() ?? ""]
            let child = try child(of: answers.first { $0 != "forked" } ?? "")
            defer { kill(child, SIGKILL) }
            #expect(try store.claimAndFinalize(key, []) == .pending)
            peer.kill()
            #expect(kill(child, 0) == 0, "the child goes on")
            #expect(try store.claimAndFinalize(key, []).isWon)
        }
    }

    @Test func childrenForkedInTheMiddleOfChangesHoldNothing() throws {
        let peer = PeerProcess(path)
        peer.process.tell("fork-often 20")
        var children: [pid_t] = []
        defer { for child in children { kill(child, SIGKILL) } }
        // All children speak for themselves, the parent among them when it has made the last.
        for _ in 0..<21 {
            let line = peer.process.line() ?? ""
            if line != "forked" { children.append(try child(of: line)) }
        }
        #expect(children.count == 20)
        peer.kill()
        #expect(children.allSatisfy { kill($0, 0) == 0 }, "the children go on")
        #expect(!anyMutexIsHeld(path))
        let store = try Store(at: path)
        var entries = try store.entries(.pending)
        var claimed: [Store.Key] = []
        while let entry = try entries.next() { claimed.append(entry.key) }
        print("forked in the middle of changes: \(claimed.count) claims left")
        for key in claimed { #expect(try store.claimAndFinalize(key, []).isWon) }
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    @Test func aClaimThatAChildInheritedIsInert() throws {
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won "))
        let before = KeyFiles(try file(of: "key", in: path))
        // What the child inherited is lost to it, and the store works in it.
        #expect(peer.ask("fork-inert of-the-child") == "child claimLost published")
        #expect(peer.process.line() == "child dropped")
        #expect(peer.process.line() == "forked")
        #expect(KeyFiles(try file(of: "key", in: path)) == before)
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", []) == .pending)
        #expect(try store.bytes(of: "of-the-child") == Array("of the child".utf8))
        #expect(peer.ask("finalize of the parent") == "done")
        #expect(try store.bytes(of: "key") == Array("of the parent".utf8))
    }

    @Test func aSessionLastsAsLongAsItsLastClaim() throws {
        let other = try Store(at: path)
        var claim: Kept?
        do {
            let store = try Store(at: path)
            claim = try store.win("key")
        }
        // The store is gone, the claim is not.
        #expect(try other.claimAndFinalize("key", []) == .pending)
        try claim?.finalize("value".utf8)
        claim = nil
        #expect(try other.bytes(of: "key") == Array("value".utf8))
    }

    private func child(of answer: String) throws -> pid_t {
        let words = answer.split(separator: " ")
        return try #require(words.count == 2 && words[0] == "child" ? pid_t(words[1]) : nil)
    }
}

/// Sessions are judged across PID namespaces, where process numbers mean nothing.
@Suite(
    .ownThreads,
    .enabled(
        if: geteuid() == 0 && run("unshare", ["-p", "-f", "--mount-proc", "true"]).code == 0,
        "needs the right to make a PID namespace"))
struct SessionNamespaceTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    @Test func aSessionOfAnotherNamespaceIsJudgedExactly() throws {
        let store = try Store(at: path)
        let inside = PeerProcess(path, wrapper: Self.wrapper)
        #expect(inside.ask("claim key").hasPrefix("won "))
        // There it is process 1 or 2; here that is somebody else, who lives for ever.
        switch try store.claim("key") {
        case .pending(let holder):
            #expect(holder.liveness == .alive)
            #expect((holder.processID ?? 99) < 5)
        default: Issue.record("alive in its namespace")
        }
        #expect(try store.reap().isEmpty)
        try killWithin(inside)
        #expect(try store.claimAndFinalize("key", []).isWon)
    }

    @Test func aSessionOutsideIsJudgedExactlyFromWithin() throws {
        let outside = PeerProcess(path)
        let inside = PeerProcess(path, wrapper: Self.wrapper)
        let second = PeerProcess(path, wrapper: Self.wrapper)
        #expect(outside.ask("claim key").hasPrefix("won "))
        #expect(inside.ask("claim key") == "pending")
        #expect(second.ask("claim key") == "pending")
        outside.kill()
        #expect(inside.ask("claim key").hasPrefix("won "))
        #expect(second.ask("claim key") == "pending")
        #expect(inside.ask("finalize value") == "done")
        #expect(second.ask("claim key") == "ready value")
    }

    private static let wrapper = [
        "unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL",
    ]

    /// Kills the peer itself, which is the only child of the program that made its namespace.
    private func killWithin(_ peer: PeerProcess) throws {
        let id = peer.process.id
        let children = contents(of: "/proc/\(id)/task/\(id)/children") ?? []
        let text = String(decoding: children, as: UTF8.self).split(separator: " ")
        kill(try #require(text.first.flatMap { pid_t($0) }), SIGKILL)
        _ = peer.process.wait()
    }
}
