import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// One command that changes a store, and what its key may be before and after it.
struct Operation: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// Brings the key into its old state.
    let prepare: @Sendable (FaultBench, Store.Key) throws -> Void
    /// The command, given the key, its generation so far, and the bench.
    let arguments: @Sendable (FaultBench, Store.Key, Store.Generation) -> [String]
    /// Whether a state is what the command is to come to, given the old one.
    let isDone: @Sendable (_ old: KeyFiles, _ new: KeyFiles) -> Bool
    /// Whether it may end well without having done it: where it cannot be told whether a holder
    /// lives, reaping leaves a claim alone.
    ///
    /// What it has done is what it has printed.
    var isHousekeeping = false
    /// Whether a state may be what a killed command leaves, besides the old one and the new.
    var isBetween: @Sendable (_ old: KeyFiles, _ new: KeyFiles) -> Bool = { _, _ in false }
}

/// A store in which one operation is done again and again, each time with a fault at another system
/// call: debug builds of the command act on `FLOCK_CACHE_FAULT`.
///
/// All keys lie in one shard, so that what one command leaves behind is there for the next.
final class FaultBench: @unchecked Sendable {
    // Used by one test.
    let directory = TemporaryDirectory()
    let store: Store
    let owner = Child("sleep", ["1000"])
    private let commands: Child
    let ownerIdentity: ProcessIdentity
    /// The identity of a process that has ended.
    let deadIdentity: ProcessIdentity
    /// Found once: a shard has one key of 256.
    private static let keys = TestHelpers.keys(500, inShard: shard)
    private var nextKey = 1
    /// No generation may be lower than one that was given before.
    private var highest: Store.Generation = 0

    private static let shard = 0x5a
    static let small = Array("the value".utf8)
    static let large = pattern(100_000)

    var path: String { directory("store") }
    var largeFile: String { directory("large") }

    /// - Parameters:
    ///   - environment: of the commands.
    ///   - telling: whether the store tells of its changes.
    init(environment: [String: String] = [:], telling: Bool = false) throws {
        commands = Child(
            builtProducts + "/flock-cache-peer", ["--commands"], environment: environment)
        store =
            try telling
            ? Store.telling(at: directory("store")) : Store(at: directory("store"))
        ownerIdentity = try #require(try ProcessIdentity(of: owner.id))
        let dead = Child("sleep", ["1000"])
        deadIdentity = try #require(try ProcessIdentity(of: dead.id))
        dead.kill(SIGKILL)
        _ = dead.wait()
        write(Self.large, to: directory("large"))
        let greeting = commands.line()
        #expect(greeting == "hello")
        // Before the first command the store is there, with its locks and a shard.
        #expect(try store.claimAndFinalize(Self.keys[0], []).isWon)
        _ = try store.counts()
    }

    /// Makes the old state, of a key that was not used before, and returns the command line.
    func prepare(
        _ operation: Operation
    ) throws -> (key: Store.Key, old: KeyFiles, arguments: [String]) {
        defer { nextKey += 1 }
        let key = Self.keys[nextKey]
        try operation.prepare(self, key)
        let old = try state(of: key)
        #expect(old.generation == 0 || old.generation > highest)
        highest = max(highest, old.generation)
        let arguments = operation.arguments(self, key, old.generation)
        return (key, old, ["--store", path] + arguments)
    }

    /// Runs the command with a fault such as `7:KILL`.
    func run(_ arguments: [String], fault: String) -> Outcome {
        let (output, error) = (directory("output"), directory("error"))
        commands.tell(([fault, output, error] + arguments).joined(separator: "\t"))
        let words = (commands.line() ?? "").split(separator: " ")
        guard words.count == 2, let number = Int32(words[1]) else {
            fatalError("the peer that runs commands has ended: \(commands.restOfError())")
        }
        return Outcome(
            ending: words[0] == "exit" ? .exit(number) : .signal(number),
            output: contents(of: output) ?? [],
            error: String(decoding: contents(of: error) ?? [], as: UTF8.self))
    }

    /// How many system calls the operation makes now: killed at a later one it ends by itself.
    func countCalls(of operation: Operation) throws -> Int {
        var (low, high) = (0, 512)
        while low + 1 < high {
            let middle = (low + high) / 2
            let (_, _, arguments) = try prepare(operation)
            let isKilled = run(arguments, fault: "\(middle):KILL").ending == .signal(SIGKILL)
            if isKilled { low = middle } else { high = middle }
        }
        return low
    }

    /// Keys of the shard that are used by no operation.
    func spareKey(_ index: Int) -> Store.Key { Self.keys[499 - index % 100] }

    /// Makes the block of the shard that is used unknown.
    func forgetCounts() {
        let file = open(path + "/locks/shards", O_WRONLY)
        defer { close(file) }
        let zeros = [UInt8](repeating: 0, count: ShardBlock.byteCount)
        pwrite(file, zeros, zeros.count, 64 + Self.shard * ShardBlock.byteCount)
    }

    func state(of key: Store.Key) throws -> KeyFiles { KeyFiles(try file(of: key, in: path)) }

    /// What must be so after any fault: the counts are right, and whoever asks next is answered as
    /// the files say.
    ///
    /// Values are gone then; claims of the owner that lives stay.
    func check(_ key: Store.Key, _ what: String) throws {
        let state = try state(of: key)
        if case .pending(let generation) = state { #expect(generation >= highest, "\(what)") }
        #expect(Tally(try store.counts()) == Tally(filesOf: path), "\(what)")
        let value = try store.bytes(of: key)
        let told = try store.claimAndFinalize(key, "of the next".utf8)
        switch state {
        case .ready(_, let expected):
            #expect(value == expected && told == .ready(expected), "\(what): \(told)")
        case .both(_, let expected, _):
            #expect(value == expected && told == .ready(expected), "\(what): \(told)")
        case .pending where isHeld(key):
            #expect(value == nil && told == .pending, "\(what): \(told)")
        case .pending, .torn, .absent:
            #expect(value == nil && told.isWon, "\(what): \(told)")
            if case .won(let generation) = told {
                #expect(generation > max(highest, state.generation), "\(what)")
                highest = max(highest, generation)
            }
            #expect(try store.bytes(of: key) == Array("of the next".utf8), "\(what)")
        }
        highest = max(highest, state.generation)
        // Counting anew reads every value of the shard: few keep the number of calls what it was.
        try store.remove(key)
        #expect(Tally(try store.counts()) == Tally(filesOf: path), "\(what), after the next")
    }

    /// Whether the claim on a key, if there is one, names the owner that lives.
    private func isHeld(_ key: Store.Key) -> Bool {
        guard let path = try? file(of: key, in: path), let record = contents(of: path + ".pending"),
            let claim = record.withUnsafeBytes({ ClaimSection.parse($0)?.section })
        else { return false }
        return claim.holder == .process(ownerIdentity)
    }

    /// Ends the owner and reaps: then nothing may be left, and counts be right.
    func checkThatReapingLeavesNothing() throws {
        owner.kill(SIGKILL)
        _ = owner.wait()
        try store.reap()
        #expect(leftovers(in: path) == [])
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(try Store(at: path).counts() == store.counts())
    }
}

extension Operation {
    static let all = [
        claimFresh, takeOver, claimAnew, finalizeSmall, finalizeLarge, finalizeAnewSmall,
        finalizeAnewLarge, abandon, remove, removeBoth, removeClaim, reap,
    ]

    static let claims = [claimFresh, takeOver, claimAnew]

    private static func claimCommand(
        _ bench: FaultBench, _ key: Store.Key, _: Store.Generation
    ) -> [String] {
        ["claim", "--owner", "\(bench.owner.id)", "\(key)"]
    }

    static let claimFresh = Operation(
        testDescription: "claim", prepare: { _, _ in }, arguments: claimCommand,
        isDone: { _, new in if case .pending = new { true } else { false } },
        isBetween: { _, new in new == .torn })

    static let takeOver = Operation(
        testDescription: "claim what is stale",
        prepare: { bench, key in _ = try bench.store.claim(key, for: bench.deadIdentity) },
        arguments: claimCommand,
        isDone: { old, new in
            if case .pending(let generation) = new { generation > old.generation } else { false }
        })

    static let claimAnew = Operation(
        testDescription: "claim what is too old",
        prepare: prepareValue,
        arguments: { bench, key, generation in
            claimCommand(bench, key, generation) + ["--max-age", "0"]
        },
        isDone: { old, new in
            if case .both(let ready, let value, let pending) = new {
                .ready(ready, value) == old && pending > ready
            } else {
                false
            }
        })

    static func prepareValue(_ bench: FaultBench, _ key: Store.Key) throws {
        #expect(try bench.store.claimAndFinalize(key, "old".utf8).isWon)
    }

    private static func prepareClaim(_ bench: FaultBench, _ key: Store.Key) throws {
        _ = try bench.store.claim(key, for: bench.ownerIdentity)
    }

    static func prepareClaimAnew(_ bench: FaultBench, _ key: Store.Key) throws {
        try prepareValue(bench, key)
        _ = try bench.store.claim(key, for: bench.ownerIdentity, maxAge: .zero)
    }

    private static func isPublished(_ value: [UInt8]) -> @Sendable (KeyFiles, KeyFiles) -> Bool {
        { old, new in new == .ready(old.generation, value) }
    }

    private static func finalizeCommand(
        _: FaultBench, _ key: Store.Key, _ generation: Store.Generation
    ) -> [String] {
        [
            "finalize", "--generation", "\(generation)", "\(key)",
            String(decoding: FaultBench.small, as: UTF8.self),
        ]
    }

    private static func finalizeLargeCommand(
        _ bench: FaultBench, _ key: Store.Key, _ generation: Store.Generation
    ) -> [String] {
        ["finalize", "--generation", "\(generation)", "\(key)", "--file", bench.largeFile]
    }

    static let finalizeSmall = Operation(
        testDescription: "finalize", prepare: prepareClaim, arguments: finalizeCommand,
        isDone: isPublished(FaultBench.small))

    static let finalizeLarge = Operation(
        testDescription: "finalize a large value", prepare: prepareClaim,
        arguments: finalizeLargeCommand, isDone: isPublished(FaultBench.large))

    static let finalizeAnewSmall = Operation(
        testDescription: "finalize anew", prepare: prepareClaimAnew, arguments: finalizeCommand,
        isDone: isPublished(FaultBench.small))

    static let finalizeAnewLarge = Operation(
        testDescription: "finalize a large value anew", prepare: prepareClaimAnew,
        arguments: finalizeLargeCommand, isDone: isPublished(FaultBench.large))

    static let abandon = Operation(
        testDescription: "abandon", prepare: prepareClaim,
        arguments: { bench, key, _ in ["abandon", "--owner", "\(bench.owner.id)", "\(key)"] },
        isDone: { _, new in new == .absent })

    static let remove = Operation(
        testDescription: "remove",
        prepare: prepareValue,
        arguments: { _, key, _ in ["remove", "\(key)"] }, isDone: { _, new in new == .absent })

    static let removeBoth = Operation(
        testDescription: "remove a value and the claim beside it", prepare: prepareClaimAnew,
        arguments: { _, key, _ in ["remove", "--pending", "\(key)"] },
        isDone: { _, new in new == .absent },
        // The claim goes first: the other order would bring an old claim back to life.
        isBetween: { old, new in
            if case .both(let generation, let value, _) = old {
                new == .ready(generation, value)
            } else {
                false
            }
        })

    static let removeClaim = Operation(
        testDescription: "remove a claim", prepare: prepareClaim,
        arguments: { _, key, _ in ["remove", "--pending", "\(key)"] },
        isDone: { _, new in new == .absent })

    static let reap = Operation(
        testDescription: "reap",
        prepare: { bench, key in
            _ = try bench.store.claim(key, for: bench.deadIdentity)
            write([], to: try neighbour(".tmp-00000000000000ff-1", of: key, in: bench.path))
            // Written past the library, it is counted when the shard's block is found unknown.
            bench.forgetCounts()
        },
        arguments: { _, _, _ in ["reap"] }, isDone: { _, new in new == .absent },
        isHousekeeping: true)
}

extension Operation {
    /// Renewing changes neither the state of the key nor its generation.
    static let renewWhatIsOver = Operation(
        testDescription: "renew a claim whose time is over",
        prepare: { bench, key in
            _ = try bench.store.session.claim(
                key, for: .process(bench.ownerIdentity, command: []), maxAge: nil,
                staleAfter: .seconds(3600))
            let path = try file(of: key, in: bench.path) + ".pending"
            let record = try #require(contents(of: path))
            var claim = try #require(record.withUnsafeBytes { ClaimSection.parse($0)?.section })
            claim.deadline = claim.since
            write(claim.text, to: path)
        },
        arguments: { _, key, generation in ["renew", "--generation", "\(generation)", "\(key)"] },
        isDone: { old, new in old == new })
}
