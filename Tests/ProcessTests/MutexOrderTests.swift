import Glibc
import Synchronization
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The two locks of a shard's mutex, between threads and between processes.
@Suite(.ownThreads) struct MutexOrderTests {
    private let stage = Stage()

    /// Threads of one process share a descriptor, and with it the lock on the byte.
    ///
    /// One that got the other lock before the byte was unlocked would go on without it, and change what another process
    /// changes.
    @Test func threadsAndProcessesCountTogether() throws {
        let times = 2000
        let store = try Store(at: stage.store)
        try store.increment("k")
        let gate = Gate(stage.directory("gate"))
        let peers = (0..<2).map { _ in PeerProcess(stage.store) }
        for peer in peers { #expect(peer.ask("gate \(gate.path)") == "done") }
        let begin = Barrier(3)
        let counted = WaitingThread<[Bool]> { _ in
            inThreads(2) { _ in
                begin.wait()
                for _ in 0..<times {
                    guard case .incremented? = try? store.increment("k") else { return false }
                }
                return true
            }
        }
        begin.wait()
        let answers = gate.release(peers) { _ in "race-count \(times) k" }
        #expect(try counted.result() == [true, true])
        #expect(answers.allSatisfy { $0.hasPrefix("counted ") }, "\(answers)")
        #expect(try store.bytes(of: "k") == Array("\(4 * times + 1)".utf8))
    }
}
