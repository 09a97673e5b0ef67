import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

// Setting and counting values, as operations of a `FaultBench`.

extension Operation {
    static let values = [
        putNew, putOver, putOverNumber, putOverStale, putLarge, putLargeOver, putMany, incrementNew,
        increment, incrementOver, incrementOverStale,
    ]

    /// All in the long form; otherwise those that meet each step at least once.
    static let someValues =
        wantsLongTests
        ? values : [putNew, putOverStale, putLargeOver, incrementNew, incrementOverStale]

    /// READY with that value and a generation above all before.
    private static func isSet(_ value: [UInt8]) -> @Sendable (KeyFiles, KeyFiles) -> Bool {
        { old, new in
            guard case .ready(let generation, value) = new else { return false }
            return generation > old.generation
        }
    }

    private static func putCommand(
        _: FaultBench, _ key: Store.Key, _: Store.Generation
    ) -> [String] {
        ["put", "\(key)", String(decoding: FaultBench.small, as: UTF8.self)]
    }

    private static func putLargeCommand(
        _ bench: FaultBench, _ key: Store.Key, _: Store.Generation
    ) -> [String] {
        ["put", "\(key)", "--file", bench.largeFile]
    }

    private static func incrementCommand(
        _: FaultBench, _ key: Store.Key, _: Store.Generation
    ) -> [String] {
        ["increment", "\(key)", "-5"]
    }

    private static func prepareNumber(_ bench: FaultBench, _ key: Store.Key) throws {
        #expect(try bench.store.increment(key, by: 40) == .incremented(40))
        #expect(try bench.store.increment(key, by: 2) == .incremented(42))
    }

    private static func prepareStale(_ bench: FaultBench, _ key: Store.Key) throws {
        _ = try bench.store.claim(key, for: bench.deadIdentity)
    }

    private static func prepareStaleNumber(_ bench: FaultBench, _ key: Store.Key) throws {
        try prepareNumber(bench, key)
        _ = try bench.store.claim(key, for: bench.deadIdentity, maxAge: .zero)
    }

    static let putNew = Operation(
        testDescription: "put a new key", prepare: { _, _ in }, arguments: putCommand,
        isDone: isSet(FaultBench.small))

    static let putOver = Operation(
        testDescription: "put over a value", prepare: prepareValue, arguments: putCommand,
        isDone: isSet(FaultBench.small))

    static let putOverNumber = Operation(
        testDescription: "put over a number", prepare: prepareNumber, arguments: putCommand,
        isDone: isSet(FaultBench.small))

    static let putOverStale = Operation(
        testDescription: "put over a stale claim", prepare: prepareStale, arguments: putCommand,
        isDone: isSet(FaultBench.small))

    static let putMany = Operation(
        testDescription: "put a value that is read",
        prepare: { bench, key in
            write(
                Array("\(key)\0".utf8) + FaultBench.small + [0], to: bench.directory("\(key).pair"))
        },
        arguments: { bench, key, _ in
            ["put", "--null", "--if-absent", "--file", bench.directory("\(key).pair")]
        }, isDone: isSet(FaultBench.small))

    static let putLarge = Operation(
        testDescription: "put a large value", prepare: { _, _ in }, arguments: putLargeCommand,
        isDone: isSet(FaultBench.large))

    static let putLargeOver = Operation(
        testDescription: "put a large value over a number with a stale claim",
        prepare: prepareStaleNumber, arguments: putLargeCommand, isDone: isSet(FaultBench.large))

    static let incrementNew = Operation(
        testDescription: "increment a new key", prepare: { _, _ in }, arguments: incrementCommand,
        isDone: isSet(Array("-5".utf8)))

    static let increment = Operation(
        testDescription: "increment", prepare: prepareNumber, arguments: incrementCommand,
        isDone: isSet(Array("37".utf8)))

    static let incrementOver = Operation(
        testDescription: "increment an ordinary value",
        prepare: { bench, key in _ = try bench.store.put("42\n".utf8, for: key) },
        arguments: incrementCommand, isDone: isSet(Array("37".utf8)))

    static let incrementOverStale = Operation(
        testDescription: "increment beside a stale claim", prepare: prepareStaleNumber,
        arguments: incrementCommand, isDone: isSet(Array("37".utf8)))
}
