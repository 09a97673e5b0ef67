import CFloor
import FlockCache
import Glibc
import SystemCalls

/// A life of a key in one process: claim, finalize, get, remove.
///
/// Beside ours are the same promises by as few calls as they need (lean), files alone (bare), and SQLite; the four take
/// turns key by key.
struct LifeTable {
    let directory: String
    let keys: Int
    let isJSON: Bool
    /// One of the sides alone, as for a profiler.
    let only: String?

    enum Step: String, CaseIterable { case claim, finalize, get, remove }
    enum Kind: String, CaseIterable { case ours, lean, bare, sqlite }

    private static let value = "file-0123456789abcdef0123456789abcdef"

    func run() throws {
        var times: [Step: [Kind: [Int64]]] = [:]
        let note = { (step: Step, kind: Kind, time: Int64) in
            times[step, default: [:]][kind, default: []].append(time)
        }
        var sides = try Sides(directory)
        let kinds = Kind.allCases.filter { only == nil || only == $0.rawValue }
            .filter { $0 != .sqlite || sides.rows != nil }
        for index in 0..<keys {
            let key = Self.name(index)
            // Each is first in turn: what runs behind another finds the processor's caches full of that.
            for offset in kinds.indices {
                let kind = kinds[(index + offset) % kinds.count]
                try sides.live(key, kind) { note($0, kind, $1) }
            }
        }
        isJSON ? printJSON(times) : printTable(times)
    }

    // MARK: The sides

    private struct Sides {
        let ours: Store
        var lean, bare: cfloor_store
        let rows: OpaquePointer?

        init(_ directory: String) throws {
            ours = try Store(at: directory + "/ours")
            lean = LifeTable.makeFloor(directory + "/lean", isLean: true)
            bare = LifeTable.makeFloor(directory + "/bare", isLean: false)
            rows = LifeTable.openRows(directory + "/database")
        }

        mutating func live(_ key: String, _ kind: Kind, _ note: (Step, Int64) -> Void) throws {
            let value = LifeTable.value
            if kind == .ours { return try live(Store.Key(key), Array(value.utf8), note) }
            let (pending, holder) = (key + ".pending", "pid 4711 (bench)")
            for step in Step.allCases {
                let start = cfloor_now()
                let result =
                    switch (kind, step) {
                    case (.lean, .claim): cfloor_lean_claim(&lean, key, pending)
                    case (.lean, .finalize): cfloor_lean_finalize(&lean, key, pending)
                    case (.lean, .get): cfloor_lean_get(&lean, key)
                    case (.lean, .remove): cfloor_lean_remove(&lean, key, pending)
                    case (.bare, .claim): cfloor_bare_claim(&bare, pending)
                    case (.bare, .finalize): cfloor_bare_finalize(&bare, key, pending)
                    case (.bare, .get): cfloor_bare_get(&bare, key)
                    case (.bare, .remove): cfloor_bare_remove(&bare, key)
                    case (_, .claim): cfloor_rows_claim(rows, key, holder)
                    case (_, .finalize): cfloor_rows_finalize(rows, key, holder, value)
                    case (_, .get): cfloor_rows_get(rows, key)
                    case (_, .remove): cfloor_rows_remove(rows, key)
                    }
                note(step, cfloor_now() - start)
                guard result == 0 else { fatalError("\(kind.rawValue): \(step.rawValue)") }
            }
        }

        private func live(
            _ key: Store.Key, _ bytes: [UInt8], _ note: (Step, Int64) -> Void
        ) throws {
            var start = cfloor_now()
            func next(_ step: Step) {
                let end = cfloor_now()
                note(step, end - start)
                start = cfloor_now()
            }
            guard case .won(let claim) = try ours.claim(key) else { fatalError("a fresh key") }
            next(.claim)
            try claim.finalize(bytes)
            next(.finalize)
            guard try ours.entry(for: key)?.value.count == bytes.count else { fatalError("get") }
            next(.get)
            guard try ours.remove(key) else { fatalError("remove") }
            next(.remove)
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

    /// Hashes are what keys usually are.
    static func name(_ index: Int) -> String {
        let digits = String(UInt64(index) &* 0x9e37_79b9_7f4a_7c15, radix: 16)
        return "sha256:" + String(repeating: "0", count: 64 - digits.count) + digits
    }

    // MARK: Telling

    private func printTable(_ times: [Step: [Kind: [Int64]]]) {
        print("in process, \(keys) keys, µs: p50 / p99; the ratio to lean, and to SQLite")
        for step in Step.allCases {
            guard let of = times[step], let ours = of[.ours] else { continue }
            var line = "  " + step.rawValue.padded(9)
            for kind in Kind.allCases {
                guard let times = of[kind] else { continue }
                let (half, most) = (quantile(times, 0.5), quantile(times, 0.99))
                line +=
                    "  \(kind.rawValue) "
                    + "\(half.microseconds) / \(most.microseconds)".padded(14)
            }
            for kind in [Kind.lean, .sqlite] {
                guard let times = of[kind] else { continue }
                let ratio = quantile(ours, 0.5) / quantile(times, 0.5)
                line += "  × \(kind.rawValue) \((ratio * 100).rounded() / 100)"
            }
            print(line)
        }
    }

    private func printJSON(_ times: [Step: [Kind: [Int64]]]) {
        let rows = Step.allCases.flatMap { step in
            Kind.allCases.compactMap { kind -> String? in
                guard let of = times[step]?[kind] else { return nil }
                return """
                    {"step":"\(step.rawValue)","of":"\(kind.rawValue)","count":\(of.count),\
                    "p50_ns":\(Int(quantile(of, 0.5))),"p99_ns":\(Int(quantile(of, 0.99)))}
                    """
            }
        }
        print("[" + rows.joined(separator: ",\n ") + "]")
    }
}
