import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A record as readers see it.
struct Line: Equatable, CustomStringConvertible {
    let number: UInt64
    let text: String

    var description: String { "\(number) \(text.prefix(20))" }
}

/// One command that changes a journal.
struct JournalOperation: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// The command behind `journal`.
    let arguments: @Sendable (JournalFaults) -> [String]
    /// The records that it appends.
    var appends: @Sendable (JournalFaults) -> [String] = { _ in [] }
    /// Of trimming and removing: how many records stay at least; nil for what appends.
    var keeps: Int?
    var removes = false
    var isDurable = false

    static let short = [
        append, appendLines, appendNext, trim, trimAll, remove, durable, durableNext,
    ]
    static let all = short + [appendLarge]

    private static func text(_ name: String, _ size: Int, durable: Bool = false) -> JournalOperation
    {
        let text = String(repeating: "x", count: size)
        return JournalOperation(
            testDescription: name, arguments: { _ in ["append", "log", text] },
            appends: { _ in [text] }, isDurable: durable)
    }

    static let append = text("append", 20)
    /// Larger than what is left of any segment that has a record.
    static let appendNext = text("append to the next segment", 8000)
    static let durable = text("append durably", 20, durable: true)
    static let durableNext = text("append durably to the next segment", 8000, durable: true)

    static let appendLines = JournalOperation(
        testDescription: "append lines",
        arguments: { ["append", "log", "--lines", "--file", $0.linesFile] },
        appends: { _ in JournalFaults.lines })

    static let appendLarge = JournalOperation(
        testDescription: "append a large record",
        arguments: { ["append", "log", "--file", $0.largeFile] },
        appends: { _ in [JournalFaults.large] })

    static let trim = JournalOperation(
        testDescription: "trim", arguments: { _ in ["trim", "log", "--keep", "5"] }, keeps: 5)
    static let trimAll = JournalOperation(
        testDescription: "trim to nothing", arguments: { _ in ["trim", "log", "--keep", "0"] },
        keeps: 0)
    static let remove = JournalOperation(
        testDescription: "remove a journal", arguments: { _ in ["remove", "log"] }, keeps: 0,
        removes: true)
}

/// A store with a journal of small segments, on which one operation is done with a fault at each system call.
final class JournalFaults: @unchecked Sendable {
    // Used by one test.
    static let variables = ["FLOCK_CACHE_SEGMENT": "8192"]
    static let lines = (1...120).map { "line \($0) of a batch of some hundred" }
    static let large = String(repeating: "large ", count: 220_000)

    let bench: FaultBench
    private let isDurable: Bool
    let store: Store
    var path: String { bench.directory("journals") }
    var linesFile: String { bench.directory("lines") }
    var largeFile: String { bench.directory("large record") }
    private let name: JournalName

    init(_ operation: JournalOperation) throws {
        bench = try FaultBench(environment: Self.variables)
        isDurable = operation.isDurable
        name = try JournalName("log")
        let path = bench.directory("journals")
        let made = bench.run(
            ["--store", path, "init"] + (operation.isDurable ? ["--durable"] : []), fault: "")
        #expect(made.code == 0, "\(made)")
        store = try Store(at: path)
        write(Self.lines.map { $0 + "\n" }.joined().utf8, to: bench.directory("lines"))
        write(Self.large.utf8, to: bench.directory("large record"))
    }

    func arguments(_ operation: JournalOperation) -> [String] {
        ["--store", path, "journal"] + operation.arguments(self)
    }

    func run(_ operation: JournalOperation, fault: String) -> Outcome {
        bench.run(arguments(operation), fault: fault)
    }

    private var opened: SegmentedJournal?

    /// The journal with segments of the commands' size; as of a process that has it open all the time.
    func journal() throws -> SegmentedJournal {
        if let opened { return opened }
        let store = try store.session.forWriting()
        let fresh = SegmentedJournal(
            name, of: store.files, store.locks, store.board, segmentByteCount: 8192)
        opened = fresh
        return fresh
    }

    func append(_ text: String) throws -> UInt64 {
        var held = try HeldJournal(journal())
        return try held.append([Array(text.utf8)]).lowerBound
    }

    /// Brings the journal to some segments, and to a few records in the last.
    func prepare(_ operation: JournalOperation) throws {
        while try read().count < 30 {
            _ = try append("before " + String(repeating: ".", count: 500))
        }
        if operation.keeps == nil, try read().count > 60 {
            var limits = JournalLimits()
            limits.count = 30
            try journal().trim(limits, patience: .seconds(10))
        }
    }

    /// What another process reads.
    func read() throws -> [Line] {
        let opened = try store.session.forWriting()
        let fresh = SegmentedJournal(
            name, of: opened.files, LockTableAccess(opened.files), BoardAccess(opened.files))
        let reader = JournalReader(fresh, from: nil)
        return try reader.rest().map {
            Line(number: $0.number, text: String(decoding: $0.bytes, as: UTF8.self))
        }
    }

    /// Whether some process has the journal's lock.
    func isLocked() throws -> Bool {
        let locks = try Directory.open(path: FileName(path + "/locks"))
        let file = try locks.open(Layout.lockTable(name.lock.table), .read)
        return try file.isLockedByOthers(at: name.lock.journal)
    }

    /// Whether the operation has done its work, from one state to another; nil where the new state is one that must
    /// not be.
    func progress(_ operation: JournalOperation, _ old: [Line], _ new: [Line]) -> Progress? {
        if new == old { return operation.keeps == nil ? .nothing : .some }
        guard let least = operation.keeps else {
            return new == old + added(operation, behind: old) ? .all : nil
        }
        let rest = Array(old.suffix(new.count))
        return new == rest && new.count >= least ? .some : nil
    }

    private func added(_ operation: JournalOperation, behind old: [Line]) -> [Line] {
        let first = (old.last?.number ?? 0) + 1
        return operation.appends(self).enumerated().map {
            Line(number: first + UInt64($0.offset), text: $0.element)
        }
    }

    enum Progress { case nothing, some, all }

    /// What must be so after any fault: the next record gets the next number, and nothing else changes.
    ///
    /// In a durable store the next append publishes what a killed or failed one had written.
    func check(_ operation: JournalOperation, _ old: [Line], _ new: [Line], _ what: String) throws {
        #expect(try !isLocked(), "\(what)")
        let number = try append("after")
        let now = try read()
        let isGone = operation.removes && new.isEmpty
        var expected = [new]
        if isDurable, new == old { expected.append(new + added(operation, behind: old)) }
        let matches = expected.contains { before in
            let next = (before.last ?? old.last)?.number.advanced(by: 1)
            return now == before + [Line(number: number, text: "after")]
                && (isGone || number == next)
        }
        #expect(matches, "\(what): then \(number), \(now.suffix(5))")
    }

    /// The numbers of the calls at which there is to be a fault, all or in the short form some; up to one behind the
    /// last.
    func calls(_ operation: JournalOperation, _ random: inout Seeded) throws -> [Int] {
        var (low, high) = (0, 512)
        while low + 1 < high {
            let middle = (low + high) / 2
            try prepare(operation)
            let ending = run(operation, fault: "\(middle):KILL").ending
            if ending == .signal(SIGKILL) { low = middle } else { high = middle }
        }
        _ = try append("settled")
        // What is left behind by one makes a call more or less for the next.
        let step = wantsLongTests ? 1 : 7
        let first = Int.random(in: 1...step, using: &random)
        return Array(stride(from: first, to: low - 6, by: step)) + Array((low - 6)...(low + 2))
    }
}
