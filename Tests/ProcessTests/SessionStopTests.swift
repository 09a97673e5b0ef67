import Glibc
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A session that has made changes before, stopped or killed at each system call of its next one: its blocks are
/// memory by then, and it looks at names once.
@Suite(.ownThreads) struct SessionStopTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private static let earlier = 5
    private static let keys = TestHelpers.keys(4000, inShard: 0x21)

    /// What another process does to the key that is about to be claimed.
    enum Rival: String, CaseIterable {
        case claims, publishes, puts, counts, givesUp, claimsAnother
    }

    /// What another process does to the claim that is about to be finalized.
    enum Intruder: String, CaseIterable { case publishes, abandons, renews, removes, claimsAnother }

    @Test(arguments: Rival.allCases) func ofAClaimThatIsStoppedAnywhereOneWins(
        _ rival: Rival
    ) throws {
        let store = try Store(at: path)
        var beside = 0
        try forEachCall(of: { "claim \($0)" }) { peer, key, isInChange in
            var told: String?
            var claim: Kept?
            if !isInChange {
                beside += 1
                told = try act(rival, on: key, in: store, &claim)
            }
            peer.process.kill(SIGCONT)
            let answer = peer.process.line() ?? "ended"
            let other = try told ?? act(rival, on: key, in: store, &claim)
            let what = "\(rival), in a change \(isInChange): \(answer), rival \(other)"
            switch rival {
            case .claims, .publishes, .puts, .counts:
                let isOne = answer.hasPrefix("won ") != (other == "won")
                #expect(isOne, "\(what)")
            case .givesUp, .claimsAnother:
                #expect(answer.hasPrefix("won ") || answer == "pending", "\(what)")
                #expect(answer.hasPrefix("won ") || other == "won", "\(what)")
            }
            #expect(try store.entry(for: key) == nil || !answer.hasPrefix("won "), "\(what)")
            if answer.hasPrefix("won ") { #expect(peer.ask("finalize v") == "done", "\(what)") }
            try claim?.abandon()
        }
        #expect(beside > 2, "some calls are before the mutex")
    }

    @Test(arguments: Intruder.allCases) func aFinalizeThatIsStoppedAnywherePublishesWhatIsItsOwn(
        _ intruder: Intruder
    ) throws {
        let store = try Store(at: path)
        try forEachCall(before: { "claim \($0)" }, of: { _ in "finalize mine" }) {
            peer, key, isInChange in
            guard !isInChange else {
                peer.process.kill(SIGCONT)
                #expect(peer.process.line() == "done")
                #expect(try store.bytes(of: key) == Array("mine".utf8))
                return
            }
            let generation = KeyFiles(try file(of: key, in: path)).generation
            let changed = try act(intruder, on: key, generation, in: store)
            peer.process.kill(SIGCONT)
            let answer = peer.process.line() ?? "ended"
            let value = try store.bytes(of: key).map { String(decoding: $0, as: UTF8.self) }
            let what = "\(intruder): \(changed), \(answer), \(value ?? "none")"
            switch intruder {
            case .publishes: #expect(answer == "done" && value == "theirs", "\(what)")
            case .abandons, .removes:
                #expect(changed && answer == "error claimLost" && value == nil, "\(what)")
            case .renews, .claimsAnother: #expect(answer == "done" && value == "mine", "\(what)")
            }
        }
    }

    /// The block is stored as memory: whatever is stored when the process dies, the counts come out right.
    @Test func aSessionKilledAnywhereLeavesRightCounts() throws {
        let store = try Store(at: path)
        try makeSessionFiles()
        let orders = ["claim KEY", "finalize v", "claim KEY-2", "abandon"]
        let calls = try lastCall(orders)
        var highest: Store.Generation = 0
        for number in try lastCall([])...calls {
            let peer = try peer(fault: "\(number):KILL")
            let key = Self.key(number, in: 3)
            for order in orders {
                let words = order.replacing("KEY", with: "\(key)")
                if peer.ask(words).isEmpty { break }
            }
            peer.kill()
            #expect(Tally(try store.counts()) == Tally(filesOf: path), "killed at call \(number)")
            let next = try #require(try store.win(Self.key(number, in: 4)))
            #expect(next.generation > highest)
            highest = next.generation
            try next.abandon()
            try store.remove(key, includingPending: true)
            try tidy()
        }
    }

    /// Unlocking and closing are not counted, nor is what happens in memory.
    ///
    /// On another file system a block is written by two calls more.
    @Test func noChangeMakesMoreCallsThanItNeeds() throws {
        try makeSessionFiles()
        let most = [
            ("claim KEY", 8), ("finalize v", 7), ("get KEY", 3), ("remove KEY", 9),
            ("increment 1 - - KEY", 9), ("increment 1 - - KEY", 7), ("remove KEY", 10),
            ("put any KEY v", 9), ("put any KEY w", 12),
            // The first makes the lease's record.
            ("lease 3600000 0 KEY", 25), ("lease-renew", 5), ("lease-renew", 5),
        ]
        let orders = most.map { $0.0 }
        var calls = try lastCall([])
        for (index, (order, bound)) in most.enumerated() {
            let next = try lastCall(Array(orders[...index]))
            print("\(order): \(next - calls) calls")
            #expect(next - calls <= bound, "\(order): \(next - calls) calls")
            calls = next
        }
    }

    // MARK: The other side

    private func act(
        _ rival: Rival, on key: Store.Key, in store: Store, _ kept: inout Kept?
    ) throws -> String {
        switch rival {
        case .claims:
            kept = try store.win(key)
            return kept == nil ? "lost" : "won"
        case .publishes:
            return try store.claimAndFinalize(key, "theirs".utf8).isWon ? "won" : "lost"
        case .puts:
            guard case .updated = try store.put("theirs".utf8, for: key) else { return "lost" }
            return "won"
        case .counts:
            guard case .incremented = try store.increment(key) else { return "lost" }
            return "won"
        case .givesUp:
            guard let claim = try store.win(key) else { return "lost" }
            try claim.abandon()
            return "won"
        case .claimsAnother:
            let another = Store.Key(Array(key.bytes) + Array("-another".utf8))
            return try store.claimAndFinalize(another, "other".utf8).isWon ? "won" : "lost"
        }
    }

    private func act(
        _ intruder: Intruder, on key: Store.Key, _ generation: Store.Generation, in store: Store
    ) throws -> Bool {
        switch intruder {
        case .publishes:
            let theirs = Array("theirs".utf8)
            _ = try theirs.withUnsafeBytes {
                try store.session.finalize(key, by: .generation(generation), .bytes($0))
            }
            return true
        case .abandons: return try store.session.abandon(key, by: .generation(generation))
        case .renews:
            _ = try store.session.renew(key, generation)
            return true
        case .removes: return try store.remove(key, includingPending: true)
        case .claimsAnother:
            // Of a group of its own: a READY key among those that are claimed before the order would end them.
            let another = Self.key(Int(truncatingIfNeeded: generation % 200), in: 17)
            return try store.claimAndFinalize(another, "o".utf8).isWon
        }
    }

    // MARK: A process with a fault

    /// Keys that were not used before, of one shard, for each call a few.
    private static func key(_ number: Int, in group: Int) -> Store.Key {
        keys[(number * 20 + group) % keys.count]
    }

    /// Removes what a killed process left half-done, so that the next one makes as many calls.
    private func tidy() throws {
        let store = try Store(at: path)
        try store.reap()
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    /// All of them: the first session in each would make its own, by calls that others do not need.
    private func makeSessionFiles() throws {
        #expect(try Store(at: path).claimAndFinalize(Self.keys[0], []).isWon)
        for number in 0..<64 {
            let name = "/locks/sessions-" + (number < 16 ? "0" : "") + String(number, radix: 16)
            close(open(path + name, O_CREAT | O_RDWR, 0o600))
        }
    }

    /// A process that has made a few changes of the shard.
    private func peer(fault: String) throws -> PeerProcess {
        PeerProcess(path, environment: ["FLOCK_CACHE_FAULT": fault], greets: false)
    }

    /// Whether the process came behind its earlier changes.
    private func makeEarlierChanges(_ peer: PeerProcess, _ number: Int) -> Bool {
        guard peer.process.line() == "hello" else { return false }
        for index in 0..<Self.earlier {
            let key = Self.key(number, in: 10 + index)
            guard peer.ask("claim \(key)").hasPrefix("won "), peer.ask("abandon") == "done" else {
                return false
            }
        }
        return true
    }

    /// The first call at which a process that is killed there has answered these orders.
    private func lastCall(_ orders: [String]) throws -> Int {
        var (low, high) = (0, 1024)
        while low + 1 < high {
            let middle = (low + high) / 2
            let peer = try peer(fault: "\(middle):KILL")
            var isDone = makeEarlierChanges(peer, middle)
            for order in orders where isDone {
                let key = Self.key(middle, in: 6)
                isDone = !peer.ask(order.replacing("KEY", with: "\(key)")).isEmpty
            }
            peer.kill()
            try Store(at: path).remove(Self.key(middle, in: 6), includingPending: true)
            try tidy()
            if isDone { high = middle } else { low = middle }
        }
        return high
    }

    /// Stops a process at each call of one order, and has a closure go on with it.
    private func forEachCall(
        before: ((Store.Key) -> String)? = nil, of order: (Store.Key) -> String,
        _ body: (PeerProcess, Store.Key, Bool) throws -> Void
    ) throws {
        let placeholder = Store.Key("KEY")
        try makeSessionFiles()
        let begun = before.map { [$0(placeholder)] } ?? []
        let first = try lastCall(begun)
        let last = try lastCall(begun + [order(placeholder)])
        #expect(last - first > 4, "the order makes calls")
        for number in first..<last {
            let peer = try peer(fault: "\(number):STOP")
            guard makeEarlierChanges(peer, number) else {
                Issue.record("stopped before the order, at call \(number)")
                continue
            }
            let key = Self.key(number, in: 1)
            if let before { #expect(peer.ask(before(key)).hasPrefix("won ")) }
            peer.process.tell(order(key))
            #expect(waitUntil { isStopped(peer.process.id) }, "at call \(number)")
            try body(peer, key, anyMutexIsHeld(path))
            peer.kill()
            try Store(at: path).remove(key, includingPending: true)
            try tidy()
        }
        print("stopped at \(last - first) calls")
    }
}

private func isStopped(_ process: pid_t) -> Bool {
    String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self).contains(") T ")
}
