import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Stores in which no board can be made, and a store with somebody else's.
@Suite(.ownThreads) struct BoardPlaceTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("m/store") }

    /// A peer in a mount namespace of its own, with a small file system in it.
    private func peerOnSmallDevice() -> PeerProcess {
        mkdir(directory("m"), 0o700)
        return PeerProcess(
            path,
            wrapper: [
                "unshare", "-m", "sh", "-c",
                "mount -t tmpfs -o size=160k none \(directory("m")) && exec \"$@\"", "sh",
            ])
    }

    private func enter(_ peer: PeerProcess) -> [String] {
        ["nsenter", "-t", "\(peer.process.id)", "-m"]
    }

    /// The board would not fit on it.
    @Test(.enabled(if: canMount && isInstalled("nsenter"), "needs root, unshare and mount"))
    func whereTheBoardDoesNotFitWaitsComeToTheSame() throws {
        let holder = peerOnSmallDevice()
        let others = (0..<2).map { _ in PeerProcess(path, wrapper: enter(holder)) }
        let place = directory("place")
        mkdir(place, 0o700)
        for round in 0..<3 {
            #expect(holder.ask("claim key-\(round)").hasPrefix("won "))
            for other in others {
                other.process.tell("value \(place) key-\(round)")
                #expect(other.process.line() == "waiting")
            }
            switch round {
            case 0: #expect(holder.ask("finalize value") == "done")
            case 1: #expect(holder.ask("abandon") == "done")
            default: holder.kill()
            }
            let values = others.map { other in
                other.process.line()?.split(separator: " ").dropFirst().first.map(String.init)
            }
            #expect(values[0] != nil && values[0] == values[1])
            #expect((values[0] == "value") == (round == 0))
        }
        let names = run("nsenter", enter(others[0]).dropFirst() + ["ls", "-A", path]).text
        #expect(names.split(separator: "\n") == ["entries", "flock-cache", "locks"], "\(names)")
    }

    /// Each attempt takes for a moment the room that somebody's value may need.
    @Test(.enabled(if: canMount && isInstalled("nsenter"), "needs root, unshare and mount"))
    func whereTheBoardDoesNotFitItIsNotTriedAtEachLook() throws {
        let holder = peerOnSmallDevice()
        #expect(holder.ask("claim key").hasPrefix("won "))
        let other = PeerProcess(path, wrapper: enter(holder))
        other.process.tell("value \(directory.path) key")
        #expect(other.process.line() == "waiting")
        // An attempt makes and removes a name.
        let stat = enter(holder).dropFirst() + ["stat", "-c", "%y", path]
        var isQuiet = false
        for _ in 0..<10 where !isQuiet {
            let before = run("nsenter", Array(stat)).text
            let begin = BootTime.now
            #expect(waitUntil { begin.milliseconds() > 400 })
            isQuiet = run("nsenter", Array(stat)).text == before
        }
        #expect(isQuiet)
        #expect(holder.ask("finalize value") == "done")
        #expect(other.process.line()?.hasPrefix("value value ") == true)
    }

    /// Nothing can be taken over there: whoever waits for a dead holder's claim is told so.
    @Test(.enabled(if: canMount && isInstalled("nsenter"), "needs root, unshare and mount"))
    func onAReadOnlyFileSystemWaitsEnd() throws {
        let holder = peerOnSmallDevice()
        #expect(holder.ask("claim ready").hasPrefix("won "))
        #expect(holder.ask("finalize value") == "done")
        #expect(holder.ask("claim key").hasPrefix("won "))
        // The same file system, mounted once more so that nothing can be written through it.
        let mount = "mount --bind $0 $0 && mount -o remount,bind,ro $0 && exec \"$@\""
        let wrapper = enter(holder) + ["unshare", "-m", "sh", "-c", mount, directory("m")]
        let peers = (0..<2).map { _ in PeerProcess(path, wrapper: wrapper) }
        #expect(peers[0].ask("value \(directory.path) ready").hasPrefix("value value "))
        for peer in peers {
            peer.process.tell("value \(directory.path) key")
            #expect(peer.process.line() == "waiting")
        }
        holder.kill()
        for peer in peers { #expect(peer.process.line() == "error readOnly") }
    }

    @Test func aCopiedStoreGetsABoardOfItsOwn() throws {
        let (path, copy) = (directory("store"), directory("copy"))
        let store = try Store(at: path)
        let kept = try store.win("key")
        let waiter = store.claimInThread("key")
        #expect(waiter.waitForSleep())
        // While the board is in use, and the key is claimed by a process that lives: here it is not.
        #expect(run("cp", ["-a", path, copy]).code == 0)
        let copied = try Store(at: copy)
        #expect(try copied.session.forWriting().board.forWaking() == nil)
        #expect(try copied.claimInThread("key", value: "of the copy").result().isWon)
        let other = try copied.win("other")
        let second = copied.claimInThread("other")
        #expect(second.waitForSleep())
        #expect(try copied.session.forWriting().board.forWaking() != nil)
        try other?.finalize("value".utf8)
        #expect(try second.result() == .ready(Array("value".utf8)))
        #expect(waiter.count >= 2)
        try kept?.finalize("of the first".utf8)
        #expect(try waiter.result() == .ready(Array("of the first".utf8)))
        #expect(try copied.bytes(of: "key") == Array("of the copy".utf8))
    }
}
