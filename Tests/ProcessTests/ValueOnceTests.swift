import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// `computeIfAbsent(_:)`: computed once across threads and processes, whoever throws or dies.
@Suite(.ownThreads) struct ValueOnceTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    // MARK: Threads

    @Test func ofTenThreadsOneComputesAndAllGetItsValue() throws {
        let store = try Store(at: path)
        let (computations, running) = (Counter(), Counter())
        let barrier = Barrier(10)
        let rounds = 50
        let values = inThreads(10) { thread in
            (0..<rounds).map { round in
                barrier.wait()
                return try? store.computeIfAbsent(Store.Key("round-\(round)")) {
                    #expect(running.add(1) == 1)
                    defer { running.add(-1) }
                    computations.add(1)
                    return "\(thread)".utf8
                }.copied
            }
        }
        for round in 0..<rounds {
            #expect(Set(values.map { $0[round] }).count == 1 && values[0][round] != nil)
        }
        #expect(computations.value == rounds)
    }

    /// The first nine that compute throw: each of them tells its own caller, and gives the claim up.
    @Test func whereAClosureThrowsExactlyOneOtherComputes() throws {
        struct Failed: Error {}
        let store = try Store(at: path)
        let (computations, running) = (Counter(), Counter())
        let barrier = Barrier(10)
        for round in 0..<10 {
            computations.add(-computations.value)
            let results = inThreads(10) { _ -> String in
                barrier.wait()
                do {
                    let value = try store.computeIfAbsent(Store.Key("round-\(round)")) {
                        #expect(running.add(1) == 1)
                        defer { running.add(-1) }
                        let number = computations.add(1)
                        guard number > round else { throw Failed() }
                        return "\(number)".utf8
                    }
                    return String(decoding: value, as: UTF8.self)
                } catch {
                    return error is Failed ? "failed" : "\(error)"
                }
            }
            #expect(results.count { $0 == "failed" } == round, "\(results)")
            #expect(results.count { $0 == "\(round + 1)" } == 10 - round, "\(results)")
            #expect(computations.value == round + 1)
        }
        #expect(StoreFiles(path).pending == 0)
    }

    // MARK: Processes

    /// What the peers are told to compute in: its directory, and the gate that holds them back there.
    private func makePlace(_ name: String) -> (path: String, gate: Gate) {
        let place = directory(name)
        mkdir(place, 0o700)
        return (place, Gate(place + "/gate"))
    }

    /// The processes that have computed, in their order, and when each began.
    private func log(_ place: String) -> [(process: pid_t, begin: BootTime)] {
        String(decoding: contents(of: place + "/log") ?? [], as: UTF8.self)
            .split(separator: "\n").map { line in
                let words = line.split(separator: " ")
                return (
                    pid_t(words[0]) ?? 0,
                    BootTime(nanoseconds: words.last.flatMap { Int64($0) } ?? 0)
                )
            }
    }

    /// Has all peers ask for a value, and returns when one computes and the others wait: its number.
    private func begin(_ peers: [PeerProcess], _ key: String, in place: String) throws -> Int {
        for peer in peers { peer.process.tell("value \(place) \(key)") }
        guard waitUntil({ !log(place).isEmpty }),
            let winner = peers.firstIndex(where: { $0.process.id == log(place)[0].process })
        else { throw Unexpected("nobody computes") }
        for (index, peer) in peers.enumerated() where index != winner {
            let line = peer.process.line()
            #expect(line == "waiting")
        }
        return winner
    }

    private func value(_ line: String?) -> (value: String, end: BootTime)? {
        guard let words = line?.split(separator: " "), words.count == 3, words[0] == "value",
            let end = Int64(words[2])
        else { return nil }
        return (String(words[1]), BootTime(nanoseconds: end))
    }

    @Test func ofManyProcessesOneComputesAndAllGetItsValue() throws {
        let peers = (0..<8).map { _ in PeerProcess(path) }
        for round in 0..<(wantsLongTests ? 100 : 10) {
            let (place, gate) = makePlace("round-\(round)")
            let winner = try begin(peers, "key-\(round)", in: place)
            unlink(gate.path)
            gate.open()
            let answers = peers.map { $0.process.line() }
            let expected = "of-\(peers[winner].process.id)"
            #expect(answers.allSatisfy { value($0)?.value == expected }, "\(answers)")
            #expect(log(place).count == 1)
        }
    }

    @Test func whereAProcessThrowsExactlyOneOtherComputes() throws {
        let peers = (0..<8).map { _ in PeerProcess(path) }
        for round in 0..<(wantsLongTests ? 100 : 10) {
            let (place, gate) = makePlace("round-\(round)")
            write([], to: place + "/fail")
            let winner = try begin(peers, "key-\(round)", in: place)
            unlink(gate.path)
            gate.open()
            let answers = peers.map { $0.process.line() }
            let log = log(place)
            #expect(log.count == 2 && answers[winner] == "error failed", "\(answers)")
            let others = answers.indices.filter { $0 != winner }.map { value(answers[$0])?.value }
            #expect(others.allSatisfy { $0 == log.last.map { "of-\($0.process)" } }, "\(answers)")
        }
    }

    /// Nobody tells of a death: those who wait look for it, and one of them goes on.
    ///
    /// Within a tenth of a second; the limits here are those of a machine that does other things too.
    @Test func whereTheComputingProcessIsKilledExactlyOneTakesOverAtOnce() throws {
        var peers = (0..<8).map { _ in PeerProcess(path) }
        var delays: [Double] = []
        for round in 0..<(wantsLongTests ? 100 : 10) {
            let (place, gate) = makePlace("round-\(round)")
            let winner = try begin(peers, "key-\(round)", in: place)
            // Whoever computes next does not wait; the one who waits is not let go.
            unlink(gate.path)
            let death = BootTime.now
            peers[winner].kill()
            peers[winner] = PeerProcess(path)
            let survivors = peers.indices.filter { $0 != winner }
            let answers = survivors.map { peers[$0].process.line() }
            let log = log(place)
            #expect(log.count == 2, "round \(round): \(log)")
            let values = answers.compactMap { value($0) }
            let expected = log.last.map { "of-\($0.process)" }
            #expect(values.count == 7 && values.allSatisfy { $0.value == expected }, "\(answers)")
            delays += values.map { death.milliseconds(to: $0.end) }
        }
        print("served after a death: median \(median(delays)) ms, at most \(delays.max() ?? 0) ms")
        #expect(median(delays) < 150)
        #expect(delays.allSatisfy { $0 < 5000 })
        #expect(StoreFiles(path).pending == 0)
    }
}
