import Glibc
import Synchronization
import SystemCalls
import TestSupport

@testable import FlockCache

/// A wait on a thread of its own, whose looks at the key are counted.
final class WaitingThread<R: Sendable>: @unchecked Sendable {
    // The result is read after the thread's end.
    private let looks = Counter()
    private var thread = pthread_t()
    private var outcome: Result<R, any Error>?
    private(set) var ended = BootTime(nanoseconds: 0)

    /// Starts one; `body` is to call what it is given at each look that goes on waiting.
    init(_ body: @escaping @Sendable (_ look: () -> Void) throws -> R) {
        thread = startThread {
            let result = Result { try body { self.looks.add(1) } }
            self.ended = BootTime.now
            self.outcome = result
        }
    }

    /// How often it has looked and gone on waiting.
    var count: Int { looks.value }

    /// Returns when it has looked again after it had said that it waits: then it sleeps, or is about to,
    /// and whatever happens from now on it has to be told of.
    func waitForSleep() -> Bool { waitUntil { count >= 2 } }

    /// What it came to.
    func result() throws -> R {
        pthread_join(thread, nil)
        guard let outcome else { throw Unexpected("a thread without a result") }
        return try outcome.get()
    }
}

extension Store {
    /// Claims a key on a thread of its own, waiting; finalizes with `value` if it is won.
    func claimInThread(
        _ key: Key, maxAge: Duration? = nil, wait: Duration? = .seconds(30),
        value: String = "waiter"
    ) -> WaitingThread<Told> {
        WaitingThread { look in
            let outcome = try self.session.claim(
                key, for: .session, maxAge: maxAge, staleAfter: nil, waiting: wait,
                whilePending: { _, _ in look() })
            switch try ClaimResult(outcome, of: key, in: self.session) {
            case .won(let claim):
                let generation = claim.generation
                try claim.finalize(value.utf8)
                return .won(generation)
            case .ready(let entry): return .ready(entry.value.copied)
            case .pending: return .pending
            }
        }
    }

    /// Waits for a key on a thread of its own.
    func waitInThread(
        _ key: Key, wait: Duration? = .seconds(30), alsoAbsent: Bool = false
    ) -> WaitingThread<Waited> {
        WaitingThread { look in
            Waited(
                try self.session.wait(for: key, waiting: wait, alsoAbsent: alsoAbsent) { _, _ in
                    look()
                })
        }
    }
}

/// What waiting came to, as a value that expectations can compare.
enum Waited: Equatable, Sendable {
    case ready([UInt8])
    case absent, pending, damaged

    init(_ outcome: WaitOutcome) {
        switch outcome {
        case .ready(let ready): self = .ready((try? ready.entry().value.copied) ?? [])
        case .absent: self = .absent
        case .timedOut: self = .pending
        case .damaged: self = .damaged
        }
    }
}

/// A number that threads share.
final class Counter: Sendable {
    private let number = Atomic<Int>(0)

    var value: Int { number.load(ordering: .relaxed) }

    /// Adds to it, and returns what it is then.
    @discardableResult
    func add(_ amount: Int) -> Int { number.add(amount, ordering: .relaxed).newValue }
}

extension BootTime {
    /// Milliseconds since then.
    func milliseconds(to end: BootTime = .now) -> Double {
        Double(end.nanoseconds - nanoseconds) / 1e6
    }
}

/// The middle one.
func median(_ numbers: [Double]) -> Double {
    numbers.isEmpty ? .nan : numbers.sorted()[numbers.count / 2]
}

/// Makes a claim whose holder has died.
func leaveStaleClaim(_ key: Store.Key, in store: String) {
    let peer = PeerProcess(store)
    guard peer.ask("claim \(key)").hasPrefix("won ") else { fatalError("\(key) is taken") }
    peer.exit()
}

#if Async
/// Returns when a counter has come to a number; throws when it does not in ten thousand looks.
///
/// Not by time: the threads that tasks share may be busy with other tests for a minute.
func reach(_ count: Int, _ counter: Counter) async throws {
    for _ in 0..<10_000 where counter.value < count {
        try await Task.sleep(for: .milliseconds(2))
    }
    guard counter.value >= count else { throw Unexpected("only \(counter.value) of \(count)") }
}
#endif

/// A store, and how often a wait began in it.
func storeThatCountsWaits(at path: String) throws -> (store: Store, waits: Counter) {
    let waits = Counter()
    var configuration = Store.Configuration()
    configuration.onWait = { _, _ in waits.add(1) }
    return (try Store(at: path, configuration: configuration), waits)
}
