import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// How claims end: in time, too late, twice, in a race, or by being forgotten.
@Suite(.ownThreads) struct ClaimEndTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    @Test(arguments: [10, 100_000])
    func finalizingAfterATakeOverChangesNothing(valueSize: Int) throws {
        let (slow, fast) = (try Store(at: path), try Store(at: path))
        let late = try #require(try slow.win("key", staleAfter: .milliseconds(5)))
        var second: Kept?
        #expect(
            waitUntil {
                second = (try? fast.win("key")).flatMap { $0 }
                return second != nil
            })
        let claim = try #require(second)
        #expect(claim.generation > late.generation)
        let before = KeyFiles(try file(of: "key", in: path))
        #expect(before == .pending(claim.generation))
        #expect(storeError { try late.finalize(pattern(valueSize)) }?.code == .claimLost)
        #expect(KeyFiles(try file(of: "key", in: path)) == before)
        try claim.finalize("of the second".utf8)
        #expect(try slow.bytes(of: "key") == Array("of the second".utf8))
        #expect(
            names(in: directory("store/entries")).flatMap { names(in: path + "/entries/" + $0) }
                == ["key"])
    }

    @Test func finalizingAfterATakeOverAndItsEndIsLostToo() throws {
        let (slow, fast) = (try Store(at: path), try Store(at: path))
        for isFinalized in [true, false] {
            let key: Store.Key = isFinalized ? "finalized" : "abandoned"
            let late = try #require(try slow.win(key, staleAfter: .zero))
            let second = try #require(try fast.win(key))
            if isFinalized { try second.finalize("second".utf8) } else { try second.abandon() }
            #expect(storeError { try late.finalize("late".utf8) }?.code == .claimLost)
            #expect(try slow.bytes(of: key) == (isFinalized ? Array("second".utf8) : nil))
        }
    }

    @Test func givingUpAfterATakeOverChangesNothing() throws {
        let (slow, fast) = (try Store(at: path), try Store(at: path))
        let late = try #require(try slow.win("key", staleAfter: .zero))
        var forgotten = try slow.win("other", staleAfter: .zero)
        let second = try #require(try fast.win("key"))
        let other = try #require(try fast.win("other"))
        #expect(storeError { try late.abandon() }?.code == .claimLost)
        #expect(forgotten != nil)
        forgotten = nil
        #expect(KeyFiles(try file(of: "key", in: path)) == .pending(second.generation))
        #expect(KeyFiles(try file(of: "other", in: path)) == .pending(other.generation))
    }

    @Test func aClaimWhoseTimeIsOverIsStillFinalizedIfNobodyTookIt() throws {
        let store = try Store(at: path)
        let claim = try #require(try store.win("key", staleAfter: .zero))
        try claim.finalize("value".utf8)
        #expect(try store.bytes(of: "key") == Array("value".utf8))
    }

    @Test func aClaimThatIsDroppedIsAbandoned() throws {
        let store = try Store(at: path)
        var kept = try store.win("key")
        let generation = try #require(kept?.generation)
        kept = nil
        #expect(KeyFiles(try file(of: "key", in: path)) == .absent)
        #expect(try store.counts().pending == 0)
        let next = try #require(try store.win("key"))
        #expect(next.generation > generation)
    }

    @Test func aClaimThatCannotBeFinalizedIsAbandoned() throws {
        let store = try Store(at: path)
        switch try store.claim("key") {
        case .won(let claim):
            let missing = directory("missing")
            do throws(StoreError) {
                try claim.finalize(contentsOfFile: missing)
                Issue.record("there is no such file")
            } catch {
                #expect(error.code == .inputOutput)
            }
        default: Issue.record("a fresh key is won")
        }
        #expect(KeyFiles(try file(of: "key", in: path)) == .absent)
    }

    @Test func removingAClaimedKeyIsRefusedUnlessAskedFor() throws {
        let store = try Store(at: path)
        let claim = try #require(try store.win("key"))
        #expect(try !store.remove("key"))
        #expect(try store.remove("key", includingPending: true))
        #expect(storeError { try claim.finalize("value".utf8) }?.code == .claimLost)
        #expect(try store.entry(for: "key") == nil)
        #expect(try !store.remove("key", includingPending: true))
    }

    /// Eight threads end one claim in two ways.
    ///
    /// Whatever order it comes to, it is one outcome.
    @Test(arguments: [10, 70_000])
    func finalizingAndAbandoningAtOnceHasOneOutcome(valueSize: Int) throws {
        let store = try Store(at: path)
        let rounds = valueSize > 1000 ? 60 : 300
        let barrier = Barrier(9)
        let generations = Published<Store.Generation>(rounds)
        // The ninth thread makes the claims.
        let results = inThreads(9) { index -> [Ending] in
            (0..<rounds).map { round in
                let key = Store.Key("key-\(round)")
                if index == 8 { generations[round] = (try? Self.claimForGood(key, in: store)) ?? 0 }
                barrier.wait()
                defer { barrier.wait() }
                guard index < 8 else { return .made }
                return Self.end(
                    key, generations[round], index % 2 == 0 ? pattern(valueSize, index) : nil,
                    in: store)
            }
        }
        var published = 0
        for round in 0..<rounds {
            let endings = results.map { $0[round] }.filter { $0 != .made }
            let value = try store.bytes(of: Store.Key("key-\(round)"))
            if let value {
                published += 1
                #expect([0, 2, 4, 6].contains { value == pattern(valueSize, $0) })
                #expect(endings.count { $0 == .finalized } == 4, "\(endings)")
                #expect(endings.count { $0 == .nothing } == 4, "\(endings)")
            } else {
                #expect(endings.count { $0 == .abandoned } == 1, "\(endings)")
                #expect(endings.count { $0 == .nothing } == 3, "\(endings)")
                #expect(endings.count { $0 == .lost } == 4, "\(endings)")
            }
        }
        print("raced to an end, \(valueSize) bytes: \(published) of \(rounds) published")
        #expect(leftovers(in: path).isEmpty)
        #expect(try store.counts().ready == published)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    private enum Ending: Equatable {
        case made, finalized, abandoned, nothing, lost, failed(String)
    }

    private static func end(
        _ key: Store.Key, _ generation: Store.Generation, _ value: [UInt8]?, in store: Store
    ) -> Ending {
        do throws(StoreError) {
            guard let value else {
                let wasThere = try store.session.abandon(key, by: .generation(generation))
                return wasThere ? .abandoned : .nothing
            }
            try value.span.withUnsafeBytes { (bytes) throws(StoreError) in
                _ = try store.session.finalize(key, by: .generation(generation), .bytes(bytes))
            }
            return .finalized
        } catch {
            return error.code == .claimLost ? .lost : .failed("\(error)")
        }
    }

    /// A claim that is not dropped: what the test does with it goes past the guard.
    private static func claimForGood(
        _ key: Store.Key, in store: Store
    ) throws -> Store.Generation {
        let outcome = try store.session.claim(
            key, for: .session, maxAge: nil, staleAfter: nil)
        guard case .won(let generation, _) = outcome else { throw Unexpected("\(key) is taken") }
        return generation
    }
}

/// Places that one thread writes before a barrier and others read behind it.
private final class Published<Element>: @unchecked Sendable {
    // Ordered by the barrier.
    private let places: UnsafeMutablePointer<Element?>

    init(_ count: Int) {
        places = .allocate(capacity: count)
        places.initialize(repeating: nil, count: count)
    }

    subscript(index: Int) -> Element {
        get {
            guard let element = places[index] else { fatalError("not published") }
            return element
        }
        set { places[index] = newValue }
    }
}
