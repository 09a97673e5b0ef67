import FlockCache
import Testing
import TestSupport

@testable import TestHelpers

/// Of all that ask at once, exactly one wins.
@Suite(.ownThreads) struct WinnerTests {
    @Test(arguments: [false, true])
    func ofTwentyThreadsExactlyOneWins(eachWithAStoreOfItsOwn: Bool) throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let shared = try Store(at: path)
        let barrier = Barrier(20)
        let rounds = 200
        let told = inThreads(20) { _ -> [Told] in
            var told: [Told] = []
            let store = eachWithAStoreOfItsOwn ? (try? Store(at: path)) ?? shared : shared
            for round in 0..<rounds {
                barrier.wait()
                var kept: Kept?
                do {
                    switch try store.claim(Store.Key("round-\(round)")) {
                    case .won(let claim):
                        told.append(.won(claim.generation))
                        kept = Kept(claim)
                    case .ready(let entry): told.append(.ready(Array(entry.value)))
                    case .pending: told.append(.pending)
                    }
                } catch {
                    told.append(.failed("\(error)"))
                }
                // Given up before all have asked, it would be somebody else's to win.
                barrier.wait()
                do {
                    try kept?.finalize("\(round)".utf8)
                } catch {
                    told[round] = .failed("\(error)")
                }
            }
            return told
        }
        for round in 0..<rounds {
            let answers = told.map { $0[round] }
            #expect(answers.count(where: \.isWon) == 1, "round \(round): \(answers)")
            #expect(answers.count { $0 == .pending } == 19, "round \(round): \(answers)")
            #expect(try shared.bytes(of: Store.Key("round-\(round)")) == Array("\(round)".utf8))
        }
        #expect(try shared.counts().ready == rounds)
    }

    @Test(arguments: [20, 50])
    func ofManyProcessesExactlyOneWins(processes: Int) throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let gate = Gate(directory("gate"))
        let peers = (0..<processes).map { _ in PeerProcess(path) }
        for peer in peers { #expect(peer.ask("gate \(gate.path)") == "done") }
        for round in 0..<200 {
            let answers = gate.release(peers) { _ in "race round-\(round)" }
            let winners = answers.indices.filter { answers[$0].hasPrefix("won ") }
            #expect(winners.count == 1, "round \(round): \(answers)")
            #expect(
                answers.count { $0 == "pending" } == processes - 1, "round \(round): \(answers)")
            guard let winner = winners.first else { break }
            #expect(peers[winner].ask("finalize of-\(winner)") == "done")
            // All learn the same.
            let reader = peers[(winner + 1) % processes]
            #expect(reader.ask("get round-\(round)") == "value of-\(winner)")
        }
        #expect(try Store(at: path).counts().ready == 200)
    }

    @Test func fiftyProcessesOnFiftyKeysAllWin() throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let gate = Gate(directory("gate"))
        let peers = (0..<50).map { _ in PeerProcess(path) }
        for peer in peers { #expect(peer.ask("gate \(gate.path)") == "done") }
        for round in 0..<(wantsLongTests ? 200 : 20) {
            let answers = gate.release(peers) { "race \(round)-\($0)" }
            #expect(answers.count { $0.hasPrefix("won ") } == 50, "round \(round): \(answers)")
            for peer in peers { peer.process.tell("finalize \(round)") }
            #expect(peers.allSatisfy { $0.process.line() == "done" })
        }
        #expect(StoreFiles(path).pending == 0)
    }

    @Test func fiftyProcessesMakeOneStoreAtOnce() throws {
        let directory = TemporaryDirectory()
        let gate = Gate(directory("gate"))
        let peers = (0..<50).map { _ in PeerProcess(directory("unused")) }
        for peer in peers { #expect(peer.ask("gate \(gate.path)") == "done") }
        for round in 0..<(wantsLongTests ? 200 : 20) {
            let path = directory("store-\(round)")
            let answers = gate.release(peers) { _ in "race-open \(path) key" }
            #expect(answers.count { $0.hasPrefix("won ") } == 1, "round \(round): \(answers)")
            #expect(answers.count { $0 == "pending" } == 49, "round \(round): \(answers)")
        }
    }
}
