import CFloor
import FlockCache
import Glibc

/// Several processes at once, by us and by SQLite in turn: lives of keys of their own, and one key for all.
///
/// A life is claim, finalize and get. For one key, another in each round, all ask at the same moment; whoever wins it
/// finalizes it, and the others time how long it took to hear that they have lost.
struct Rivals {
    let directory: String
    let seconds: Int

    static let role = "rival"
    private static let turns = 3

    private struct Result {
        var lives = 0.0
        var losses: [Int64] = []
    }

    /// No rows where SQLite is not installed.
    func measured() throws -> [RivalRow] {
        guard let sqlite = cfloor_sqlite_load(),
            cfloor_sqlite_make(sqlite, directory + "/rivals-database") == 0
        else { return [] }
        _ = try Store(at: directory + "/rivals").counts()
        var rows: [RivalRow] = []
        for part in RivalRow.Part.allCases {
            for processes in [2, 8, 16] {
                var results: [CostRow.Side: [Result]] = [:]
                for turn in 0..<Self.turns {
                    for side in [CostRow.Side.ours, .sqlite] {
                        let name = "\(part)-\(processes)-\(turn)-\(side)"
                        results[side, default: []].append(
                            try race(side.rawValue, part.rawValue, processes, name))
                    }
                }
                rows.append(Self.row(part, processes, results))
            }
        }
        let counts = try Store(at: directory + "/rivals").counts()
        guard counts.isExact, counts.pending == 0 else { fatalError("counted \(counts)") }
        return rows
    }

    private static func row(
        _ part: RivalRow.Part, _ processes: Int, _ results: [CostRow.Side: [Result]]
    ) -> RivalRow {
        var row = RivalRow(part: part, processes: processes)
        for (side, of) in results {
            row.lives[side] = of.map(\.lives).sorted()[of.count / 2]
            row.losses[side] = of.flatMap(\.losses)
        }
        return row
    }

    // MARK: The processes

    private func race(
        _ kind: String, _ part: String, _ processes: Int, _ name: String
    ) throws -> Result {
        let rivals = try (0..<processes).map {
            try startRole(Self.role, [kind, part, directory, name, String($0), String(seconds)])
        }
        for number in 0..<processes {
            while access("\(directory)/ready-\(name)-\(number)", F_OK) != 0 { usleep(1000) }
        }
        // When the first round begins; it has its name when it is whole.
        Self.write([cfloor_now() + 20_000_000], to: "\(directory)/gate")
        guard rename("\(directory)/gate", "\(directory)/gate-\(name)") == 0 else {
            fatalError("the gate")
        }
        var result = Result()
        for (number, rival) in rivals.enumerated() {
            guard try rival.wait() == .exit(0) else { fatalError("a rival failed: \(name)") }
            let words = Self.read("\(directory)/\(name)-\(number)")
            result.lives += Double(words[0]) / Double(seconds)
            result.losses += words.dropFirst()
        }
        return result
    }

    /// One of the processes: its lives, and the times of its losses, as 64-bit words in a file.
    static func beRival(_ words: [String]) throws {
        let (kind, part, directory, name, number) = (
            words[0], words[1], words[2], words[3], words[4]
        )
        var side = try Side(kind, directory, holder: "pid 4711 (\(number))")
        close(open("\(directory)/ready-\(name)-\(number)", O_CREAT | O_WRONLY, 0o600))
        while access("\(directory)/gate-\(name)", F_OK) != 0 { usleep(200) }
        let begin = Self.read("\(directory)/gate-\(name)")[0]
        let end = begin + (Int64(words[5]) ?? 1) * 1_000_000_000
        var told: [Int64] = [0]
        var (index, next) = (0, begin)
        while next < end {
            index += 1
            let isAlone = part == RivalRow.Part.lives.rawValue
            let key =
                isAlone
                ? name + CostTable.name((Int(number) ?? 0) << 32 + index) : "\(name)-\(index)"
            if !isAlone { wait(until: next) }
            let start = cfloor_now()
            if try side.live(key) {
                told[0] += 1
            } else {
                told.append(side.lost - start)
            }
            next = isAlone ? cfloor_now() : next + Self.round
        }
        Self.write(told, to: "\(directory)/\(name)-\(number)")
    }

    /// Long enough for all to have come to an end.
    private static let round: Int64 = 2_000_000

    /// Sleeps for most of the time, and not for the last of it: who sleeps is woken late.
    private static func wait(until time: Int64) {
        let left = time - cfloor_now() - 150_000
        if left > 0 { usleep(UInt32(left / 1000)) }
        while cfloor_now() < time {}
    }

    private static func write(_ words: [Int64], to path: String) {
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        defer { close(file) }
        let count = words.count * 8
        guard words.withUnsafeBytes({ Glibc.write(file, $0.baseAddress, count) }) == count else {
            fatalError("write")
        }
    }

    private static func read(_ path: String) -> [Int64] {
        let file = open(path, O_RDONLY)
        defer { close(file) }
        var status = stat()
        fstat(file, &status)
        var words = [Int64](repeating: 0, count: Int(status.st_size) / 8)
        let count = words.count * 8
        guard count > 0,
            words.withUnsafeMutableBytes({ Glibc.read(file, $0.baseAddress, count) }) == count
        else { fatalError(path) }
        return words
    }

    private struct Side {
        private var store: Store?
        private var rows: OpaquePointer?
        private let holder: String
        private let value = Array("file-0123456789abcdef0123456789abcdef".utf8)

        init(_ kind: String, _ directory: String, holder: String) throws {
            self.holder = holder
            if kind == "ours" {
                store = try Store(at: directory + "/rivals")
            } else if let sqlite = cfloor_sqlite_load() {
                rows = cfloor_rows_open(sqlite, directory + "/rivals-database")
            }
        }

        /// When it was heard that the key was lost.
        private(set) var lost: Int64 = 0

        /// False where the key was lost.
        mutating func live(_ key: String) throws -> Bool {
            if let store { return try live(Store.Key(key), in: store) }
            func check(_ result: Int32) { if result != 0 { fatalError("SQLite: \(result)") } }
            let claimed = cfloor_rows_claim(rows, key, holder)
            lost = cfloor_now()
            if claimed == 1 { return false }
            check(claimed)
            check(cfloor_rows_finalize(rows, key, holder, String(decoding: value, as: UTF8.self)))
            check(cfloor_rows_get(rows, key))
            return true
        }

        private mutating func live(_ key: Store.Key, in store: Store) throws -> Bool {
            let result = try store.claim(key)
            lost = cfloor_now()
            guard case .won(let claim) = consume result else { return false }
            try claim.finalize(value)
            guard try store.entry(for: key) != nil else { fatalError("get") }
            return true
        }
    }
}
