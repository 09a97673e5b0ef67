import CFloor
import FlockCache
import Glibc
import SystemCalls

/// What each change and each look costs in one process.
///
/// Beside ours are the same promises by as few calls as they need (lean), files alone (bare), and SQLite; the four take
/// turns key by key.
struct CostTable {
    let directory: String
    let keys: Int
    /// One of the sides alone, as for a profiler.
    let only: String?

    enum Step: String, CaseIterable {
        case claim, finalize, get, remove
        case putNew = "put, new"
        case putOver = "put, over a value"
        case increment, append
        case renew = "renew a lease"
    }

    static let value = "file-0123456789abcdef0123456789abcdef"
    static let record = String(repeating: "r", count: 96)

    func measured() throws -> [CostRow] {
        var rows = Step.allCases.map { CostRow(name: $0.rawValue, bound: 1.4, boundTo: .lean) }
        let places = Dictionary(
            uniqueKeysWithValues: Step.allCases.enumerated().map { ($1, $0) })
        let ours = try OurSide(directory + "/ours")
        var others = OtherSides(directory, records: keys)
        let sides = CostRow.Side.allCases.filter { only == nil || only == $0.rawValue }
            .filter { $0 != .sqlite || others.hasSQLite }
        for index in 0..<keys {
            let key = Self.name(index)
            // Each is first in turn: what runs behind another finds the processor's caches full of that.
            for offset in sides.indices {
                let side = sides[(index + offset) % sides.count]
                let note = { (step: Step, time: Int64) in rows[places[step] ?? 0].add(time, side) }
                side == .ours ? try ours.live(key, note) : others.live(key, side, note)
            }
        }
        return rows
    }

    /// Hashes are what keys usually are.
    static func name(_ index: Int) -> String {
        let digits = String(UInt64(index) &* 0x9e37_79b9_7f4a_7c15, radix: 16)
        return "sha256:" + String(repeating: "0", count: 64 - digits.count) + digits
    }
}

/// A store of ours, with a journal and a lease that are kept.
private final class OurSide {
    private let store: Store
    private let journal: Store.Journal
    private let lease: Store.Lease
    private let value = Array(CostTable.value.utf8)
    private let record = Array(CostTable.record.utf8)

    init(_ path: String) throws {
        store = try Store(at: path)
        journal = store.journal("log")
        lease = try store.acquireLease("lease", timeToLive: .seconds(3600))
    }

    func live(_ name: String, _ note: (CostTable.Step, Int64) -> Void) throws {
        let key = Store.Key(name)
        var start = cfloor_now()
        func next(_ step: CostTable.Step) {
            note(step, cfloor_now() - start)
            start = cfloor_now()
        }
        guard case .won(let claim) = try store.claim(key) else { fatalError("a fresh key") }
        next(.claim)
        try claim.finalize(value)
        next(.finalize)
        guard try store.entry(for: key)?.value.count == value.count else { fatalError("get") }
        next(.get)
        guard try store.remove(key) else { fatalError("remove") }
        next(.remove)
        _ = try store.put(value, for: key)
        next(.putNew)
        _ = try store.put(value, for: key)
        next(.putOver)
        _ = try store.increment("counter")
        next(.increment)
        _ = try journal.append(record)
        next(.append)
        try lease.renew()
        next(.renew)
        guard try store.remove(key) else { fatalError("remove") }
    }
}

/// Lean and bare C, and SQLite.
private struct OtherSides {
    private var lean, bare: cfloor_store
    private var leanValues = cfloor_values()
    private var bareValues = cfloor_values()
    private let rows: OpaquePointer?
    private let holder = "pid 4711 (bench)"
    private let frame = [UInt8](repeating: 1, count: 128)

    var hasSQLite: Bool { rows != nil }

    init(_ directory: String, records: Int) {
        lean = Self.makeFloor(directory + "/lean", isLean: true)
        bare = Self.makeFloor(directory + "/bare", isLean: false)
        let count = Int64(records)
        guard cfloor_values_open(&lean, &leanValues, count) == 0,
            cfloor_values_open(&bare, &bareValues, count) == 0
        else { fatalError("cannot make the floor's values") }
        rows = Self.openRows(directory + "/database")
        guard rows == nil || cfloor_rows_put(rows, "counter", "0") == 0,
            rows == nil || cfloor_rows_claim(rows, "lease", holder) == 0
        else { fatalError("cannot make SQLite's values") }
    }

    mutating func live(
        _ key: String, _ side: CostRow.Side, _ note: (CostTable.Step, Int64) -> Void
    ) {
        for step in CostTable.Step.allCases {
            let start = cfloor_now()
            let result =
                switch side {
                case .lean: inLean(step, key)
                case .bare: inBare(step, key)
                default: inSQLite(step, key)
                }
            note(step, cfloor_now() - start)
            guard result == 0 else { fatalError("\(side.rawValue): \(step.rawValue)") }
        }
        let removed =
            switch side {
            case .lean: inLean(.remove, key)
            case .bare: inBare(.remove, key)
            default: inSQLite(.remove, key)
            }
        guard removed == 0 else { fatalError("\(side.rawValue): remove") }
    }

    private mutating func inLean(_ step: CostTable.Step, _ key: String) -> Int32 {
        let pending = key + ".pending"
        return switch step {
        case .claim: cfloor_lean_claim(&lean, key, pending)
        case .finalize: cfloor_lean_finalize(&lean, key, pending)
        case .get: cfloor_lean_get(&lean, key)
        case .remove: cfloor_lean_remove(&lean, key, pending)
        case .putNew, .putOver: cfloor_lean_put(&lean, key, pending, ".tmp")
        case .increment: cfloor_lean_increment(&lean, &leanValues)
        case .append: cfloor_lean_append(&lean, &leanValues, frame, frame.count)
        case .renew: cfloor_lean_renew(&lean, &leanValues)
        }
    }

    private mutating func inBare(_ step: CostTable.Step, _ key: String) -> Int32 {
        let pending = key + ".pending"
        return switch step {
        case .claim: cfloor_bare_claim(&bare, pending)
        case .finalize: cfloor_bare_finalize(&bare, key, pending)
        case .get: cfloor_bare_get(&bare, key)
        case .remove: cfloor_bare_remove(&bare, key)
        case .putNew, .putOver: cfloor_bare_put(&bare, key, ".tmp")
        case .increment: cfloor_bare_increment(&bareValues)
        case .append: cfloor_bare_append(&bareValues, frame, frame.count)
        case .renew: cfloor_bare_renew(&bareValues)
        }
    }

    private func inSQLite(_ step: CostTable.Step, _ key: String) -> Int32 {
        switch step {
        case .claim: cfloor_rows_claim(rows, key, holder)
        case .finalize: cfloor_rows_finalize(rows, key, holder, CostTable.value)
        case .get: cfloor_rows_get(rows, key)
        case .remove: cfloor_rows_remove(rows, key)
        case .putNew, .putOver: cfloor_rows_put(rows, key, CostTable.value)
        case .increment: cfloor_rows_increment(rows, "counter")
        case .append: cfloor_rows_append(rows, CostTable.record)
        case .renew: cfloor_rows_renew(rows, "lease", holder, "1795000000000000")
        }
    }

    private static func makeFloor(_ path: String, isLean: Bool) -> cfloor_store {
        var floor = cfloor_store()
        guard isLean ? cfloor_lean_open(&floor, path) == 0 : cfloor_open(&floor, path) == 0 else {
            fatalError("cannot make the floor")
        }
        func text(_ count: Int) -> UnsafePointer<CChar> {
            let memory = UnsafeMutablePointer<CChar>.allocate(capacity: count)
            memory.initialize(repeating: 120, count: count)
            return UnsafePointer(memory)
        }
        // As long as ours.
        (floor.claim, floor.claim_length) = (text(326), 326)
        (floor.value, floor.value_length) = (text(106), 106)
        return floor
    }

    private static func openRows(_ path: String) -> OpaquePointer? {
        guard let sqlite = cfloor_sqlite_load(), cfloor_sqlite_make(sqlite, path) == 0 else {
            return nil
        }
        return cfloor_rows_open(sqlite, path)
    }
}
