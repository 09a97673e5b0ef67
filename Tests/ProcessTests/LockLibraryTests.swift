import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Locks of a program that has threads, and children.
@Suite(.ownThreads(minutes: 5)) struct LockLibraryTests {
    private let stage = Stage()

    // What another thread was in the middle of at the fork stays as it was for ever.
    @Test func aForkedChildCanLockWhateverOtherThreadsWereDoing() {
        let peer = PeerProcess(stage.store)
        #expect(peer.ask("fork-lock \(wantsLongTests ? 20000 : 1000)") == "stuck 0")
        peer.kill()
    }

    // Until it executes, a child that a thread is starting has every descriptor that its parent had.
    @Test func aLockThatIsReleasedIsFreeWhileAProgramIsBeingStarted() {
        let fifo = stage.directory("fifo")
        #expect(mkfifo(fifo, 0o600) == 0)
        let peer = PeerProcess(stage.store)
        #expect(peer.ask("lock-spawn \(fifo)") == "spawning")
        #expect(waitUntil { hasChild(peer.process.id) })
        #expect(!stage.isFree("k"))
        #expect(peer.ask("unlock") == "released")
        #expect(stage.isFree("k"))
        let reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        #expect(waitUntil { !hasChild(peer.process.id) })
        close(reader)
        #expect(stage.isFree("k"))
        peer.kill()
    }
}

private func hasChild(_ process: Int32) -> Bool {
    names(in: "/proc").contains { name in
        guard Int32(name) != nil, let status = contents(of: "/proc/\(name)/stat"),
            let end = status.lastIndex(of: UInt8(ascii: ")"))
        else { return false }
        // Behind the name: the state, and the parent.
        let fields = String(decoding: status[end...], as: UTF8.self).split(separator: " ")
        return fields.count > 2 && fields[2] == "\(process)"
    }
}
