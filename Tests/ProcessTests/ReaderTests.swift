import Glibc
import Synchronization
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A reader in a hot loop never sees a key absent that is there, whatever passes between its looks.
@Suite(.ownThreads) struct ReaderTests {
    @Test(arguments: [10, 100_000])
    func aKeyIsNeverMissedWhileItIsFinalized(valueSize: Int) throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let (writer, reader) = (try Store(at: path), try Store(at: path))
        let value = pattern(valueSize)
        let stage = KeyStages()
        try stage.play(reading: { try look(reader, $0) }) {
            for key in 0..<((valueSize > 1000 ? 100 : 1000) * scale) {
                let claim = try #require(try writer.win(Self.key(key)))
                stage.show(key)
                try claim.finalize(value)
                stage.waitUntilReady(key)
            }
        }
        print("finalized under a reader's eyes, \(valueSize) bytes: \(stage.summary)")
        #expect(stage.misses == 0)
        #expect(stage.reads > 0)
    }

    @Test func aKeyIsNeverMissedWhileItIsTakenOver() throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let (writer, reader) = (try Store(at: path), try Store(at: path))
        let stage = KeyStages()
        let peer = PeerProcess(path)
        #expect(peer.ask("claim-many \(300 * scale) key") == "won \(300 * scale)")
        peer.exit()
        try stage.play(reading: { try look(reader, $0) }) {
            for key in 0..<(300 * scale) {
                stage.show(key)
                let claim = try #require(try writer.win(Self.key(key)))
                // Again under the reader's eyes: what is claimed anew is not absent either.
                stage.show(key)
                try claim.finalize("value".utf8)
                stage.waitUntilReady(key)
            }
        }
        print("taken over under a reader's eyes: \(stage.summary)")
        #expect(stage.misses == 0)
    }

    @Test func aValueIsNeverMissedWhileItIsComputedAnew() throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let (writer, reader) = (try Store(at: path), try Store(at: path))
        let stage = KeyStages()
        #expect(try writer.claimAndFinalize(Self.key(0), "0".utf8).isWon)
        try stage.play(reading: { try look(reader, $0) == .ready ? .ready : .absent }) {
            stage.show(0)
            for round in 1..<(300 * scale) {
                let claim = try #require(try writer.win(Self.key(0), maxAge: .zero))
                try claim.finalize(pattern(round % 2 == 0 ? 10 : 70_000))
            }
        }
        print("computed anew under a reader's eyes: \(stage.summary)")
        #expect(stage.misses == 0)
    }

    /// The control: the stage shows what a reader that looks only twice misses.
    @Test func aReaderThatLooksOnlyTwiceMissesKeys() throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let writer = try Store(at: path)
        let stage = KeyStages()
        let lookTwice = { @Sendable (key: Int) throws -> Sight in
            let path = try file(of: Self.key(key), in: path)
            if access(path, F_OK) == 0 { return .ready }
            return access(path + ".pending", F_OK) == 0 ? .pending : .absent
        }
        try stage.play(reading: lookTwice) {
            for key in 0..<20_000 where stage.misses == 0 {
                let claim = try #require(try writer.win(Self.key(key)))
                stage.show(key)
                try claim.finalize("value".utf8)
                stage.waitUntilReady(key)
            }
        }
        print("looked at only twice: \(stage.summary)")
        #expect(stage.misses > 0, "the stage would not show a reader that misses")
    }

    private let scale = wantsLongTests ? 10 : 1

    private static func key(_ number: Int) -> Store.Key { Store.Key("key-\(number)") }

    private func look(_ store: Store, _ key: Int) throws -> Sight {
        switch try store.session.get(Self.key(key), maxAge: nil) {
        case .absent: .absent
        case .ready: .ready
        case .pending: .pending
        case .damaged: throw Unexpected("damaged")
        }
    }
}

private enum Sight { case absent, pending, ready }

/// A writer and a reader, each in a thread, and the key that is between them.
private final class KeyStages: Sendable {
    /// The key that is there and must not be missed; -1 before the first.
    private let current = Atomic<Int>(-1)
    /// How often the reader has looked at all, and seen a value.
    private let looks = Atomic<Int>(0)
    private let lastReady = Atomic<Int>(-1)
    private let missed = Atomic<Int>(0)
    private let isOver = Atomic<Bool>(false)

    var misses: Int { missed.load(ordering: .relaxed) }
    var reads: Int { looks.load(ordering: .relaxed) }
    var summary: String { "\(misses) of \(reads) looks missed" }

    func play(
        reading look: @escaping @Sendable (Int) throws -> Sight, _ write: () throws -> Void
    ) throws {
        let reader = startThread { [self] in
            do {
                while !isOver.load(ordering: .acquiring) {
                    let key = current.load(ordering: .acquiring)
                    guard key >= 0 else { continue }
                    switch try look(key) {
                    case .absent: missed.add(1, ordering: .relaxed)
                    case .pending: break
                    case .ready: lastReady.store(key, ordering: .releasing)
                    }
                    looks.add(1, ordering: .releasing)
                }
            } catch {
                Issue.record(error)
            }
        }
        defer {
            isOver.store(true, ordering: .releasing)
            pthread_join(reader, nil)
        }
        try write()
    }

    /// Returns when the reader has begun to look at the key.
    func show(_ key: Int) {
        current.store(key, ordering: .releasing)
        let before = looks.load(ordering: .acquiring)
        // The look under way may be at the key before.
        #expect(waitUntil { looks.load(ordering: .acquiring) >= before + 2 })
    }

    func waitUntilReady(_ key: Int) {
        #expect(waitUntil { lastReady.load(ordering: .acquiring) == key })
    }
}
