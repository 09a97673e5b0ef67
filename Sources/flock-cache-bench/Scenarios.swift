import CFloor
import FlockCache
import Glibc
import SystemCalls

/// The figures that five systems publish of what they do with SQLite, ours of the same, and those of the same done
/// with SQLite here.
///
/// Ours and SQLite's are measured in turn, three times, and the medians taken.
struct Scenarios {
    static let role = "be-scenario"
    let directory: String
    let report: ScenarioReport
    let entries: Int
    let command: String

    /// - Parameter words: `[ENTRIES] [--json] [--command PATH]`.
    init(_ directory: String, _ words: [String]) {
        self.directory = directory
        report = ScenarioReport(directory, isJSON: words.contains("--json"))
        entries = words.first.flatMap { Int($0) } ?? 1_000_000
        let own = CommandLine.arguments[0].split(separator: "/", omittingEmptySubsequences: false)
        let beside = (own.dropLast() + ["flock-cache"]).joined(separator: "/")
        let place = words.firstIndex(of: "--command").map { $0 + 1 }
        command = place.flatMap { words.indices.contains($0) ? words[$0] : nil } ?? beside
    }

    func run() throws {
        report.begin(command)
        try claimsAndReads()
        try differentKeys()
        try contention()
        for count in Set([5000, entries]).sorted() { try statistics(of: count) }
        try opposite()
        try readersAndWriters()
        try bulkWithTheLibrary()
        if access(command, X_OK) == 0 {
            try ScenarioCommands(directory: directory, report: report, command: command).run()
        } else {
            report.say("there is no command at \(command): what is done with it is left out")
        }
    }

    // MARK: System A

    private func claimsAndReads() throws {
        try report.measure([.rate("A", "claims/s, one process", 1568)], "claims") { round in
            let session = try Store(at: "\(directory)/claims-\(round)").session
            return [try Self.rate { try Self.claim("hash-\($0)", session) }]
        }
        let store = try Store(at: directory + "/reads")
        for number in 0..<1000 { try store.put("file-\(number)".utf8, for: "hash-\(number)".key) }
        try report.measure([.rate("A", "reads/s, one process", 12565)], "reads") { _ in
            let rate = try Self.rate { number in
                guard try store.entry(for: "hash-\(number % 1000)".key) != nil else {
                    fatalError("it is there")
                }
            }
            return [rate]
        }
    }

    private func differentKeys() throws {
        for count in [2, 8, 16] {
            let figure = ScenarioFigure.rate("A.4", "claims/s, \(count) processes, own keys", 466)
            try report.measure([figure], "different \(count)") { round in
                let path = "\(directory)/different-\(count)-\(round)"
                _ = try Store(at: path).counts()
                let results = try roles(count, "different", path)
                return [results.reduce(0) { $0 + $1[0] }]
            }
        }
    }

    private func contention() throws {
        let figures = [
            ScenarioFigure.time("A.1", "ms, the winner of 20 processes", 13),
            ScenarioFigure.time("A.1", "ms, a loser of them", 4),
        ]
        try report.measure(figures, "contention 20") { round in
            let results = try roles(20, "contention", "\(directory)/contention-\(round)")
            // Of each process a pair for each round: whether it has won, and how long that took.
            let pairs = results.flatMap { times in
                stride(from: 0, to: times.count, by: 2).map { (times[$0] == 1, times[$0 + 1]) }
            }
            let (won, lost) = (pairs.filter(\.0).map(\.1), pairs.filter { !$0.0 }.map(\.1))
            guard won.count == Self.rounds else { fatalError("\(won.count) winners") }
            return [won.sorted()[won.count / 2], lost.sorted()[lost.count / 2]]
        }
    }

    private func statistics(of count: Int) throws {
        let path = "\(directory)/statistics-\(count)"
        let fillers = try (0..<2).map {
            try startRole(Million.role, ["fill", path, "\($0)", "2", "\(count)"])
        }
        for filler in fillers {
            guard try filler.wait() == .exit(0) else { fatalError("a filler has failed") }
        }
        let store = try Store(at: path)
        let figure = ScenarioFigure.time("A.8", "ms, statistics of \(count) entries", 0.5)
        try report.measure([figure], "statistics \(count)") { _ in
            let times = try (0..<1000).map { _ in
                let start = cfloor_now()
                guard try store.counts().ready == count else { fatalError("some are missing") }
                return cfloor_now() - start
            }
            return [quantile(times, 0.5) / 1e6]
        }
    }

    // MARK: System D

    /// Two processes that take two locks a thousand times each, in opposite orders.
    private func opposite() throws {
        let figure = ScenarioFigure.time("D.1", "s, locks in opposite orders, 2 × 1,000", 1)
        try report.measure([figure], nil) { round in
            let results = try roles(2, "opposite", "\(directory)/opposite-\(round)")
            return [results.map { $0[0] }.max() ?? .nan]
        }
    }

    private func readersAndWriters() throws {
        let figures = [
            ScenarioFigure.time("D.4", "ms, a read beside 4 readers, 2 writers", 10),
            ScenarioFigure.time("D.4", "ms, a write beside 5 readers, 1 writer", 50),
        ]
        try report.measure(figures, "document 7") { round in
            let path = "\(directory)/document-\(round)"
            try Store(at: path).put("first".utf8, for: "document")
            let means = try roles(7, "document", path).map { 1000 / $0[0] }
            return [means.dropFirst(2).reduce(0, +) / 5, means.prefix(2).reduce(0, +) / 2]
        }
    }

    private func bulkWithTheLibrary() throws {
        let figures = [
            ScenarioFigure.time("D.10", "s, 1,000 creates, library", 5),
            ScenarioFigure.time("D.10", "s, 1,000 updates, library", 3),
            ScenarioFigure.time("D.10", "s, 500 deletes, library", 2),
        ]
        try report.measure(figures, "bulk") { round in
            let store = try Store(at: "\(directory)/bulk-\(round)")
            let keys = (0..<1000).map { "document-\($0)".key }
            let start = cfloor_now()
            for key in keys {
                guard case .won(let claim) = try store.claim(key) else { fatalError("taken") }
                try claim.finalize("first".utf8)
            }
            let created = cfloor_now()
            for key in keys {
                let result = try store.update(key) { _ in Array("second".utf8) }
                guard case .updated = result else { fatalError("\(result)") }
            }
            let updated = cfloor_now()
            for key in keys.prefix(500) { try store.remove(key) }
            let removed = cfloor_now()
            return [created - start, updated - created, removed - updated].map { Double($0) / 1e9 }
        }
    }

    // MARK: Processes

    private static let rounds = 40
    private static let gap: Int64 = 25_000_000

    /// What so many processes print that begin together.
    private func roles(_ count: Int, _ kind: String, _ path: String) throws -> [[Double]] {
        // Time enough for all to start.
        let start = cfloor_now() + 1_000_000_000
        let processes = try (0..<count).map { number in
            try startRole(
                Self.role, [kind, path, "\(number)", "\(count)", "\(start)"])
        }
        for process in processes {
            guard try process.wait() == .exit(0) else { fatalError("a process has failed") }
        }
        return try (0..<count).map { number in
            let result = FileName(Array("\(path).result-\(number)".utf8))
            let text = try File.open(path: result).contents(upTo: 1 << 20)
            return text.split(separator: 32).compactMap {
                Double(String(decoding: $0, as: UTF8.self))
            }
        }
    }

    static func be(_ words: [String]) throws {
        guard words.count == 5, let count = Int(words[3]), let start = Int64(words[4]) else {
            fatalError("\(words)")
        }
        let path = words[1]
        let store = try Store(at: path)
        let session = store.session
        var numbers: [Double] = []
        sleep(until: start)
        switch words[0] {
        case "different":
            numbers.append(try rate { try claim("hash-\(words[2])-\($0)", session) })
        case "opposite":
            let keys: [Store.Key] = words[2] == "0" ? ["1", "2"] : ["2", "1"]
            for _ in 0..<1000 { try store.lock(keys).release() }
            numbers.append(Double(cfloor_now() - start) / 1e9)
        case "document": numbers.append(try rate { _ in try useDocument(store, words[2]) })
        default:
            for round in 0..<rounds {
                sleep(until: start + Int64(round) * gap)
                let begin = cfloor_now()
                let hasWon = try claim("hash-\(round)", session, mayLose: true)
                numbers += [hasWon ? 1 : 0, Double(cfloor_now() - begin) / 1e6]
            }
        }
        let result = "\(path).result-\(words[2])"
        guard let file = fopen(result + ".new", "w") else { fatalError("errno \(errno)") }
        for number in numbers { fputs("\(number) ", file) }
        guard fclose(file) == 0, rename(result + ".new", result) == 0 else {
            fatalError("errno \(errno)")
        }
        // The claims of a process that has ended are taken over: it stays until the others have asked.
        for other in 0..<count {
            while access("\(path).result-\(other)", F_OK) != 0 { usleep(1000) }
        }
    }

    /// The first two write, the others read.
    private static func useDocument(_ store: Store, _ number: String) throws {
        if number < "2" {
            try store.update("document") { _ in Array("by \(number)".utf8) }
        } else if try store.entry(for: "document") == nil {
            fatalError("it is there")
        }
    }

    private static func sleep(until time: Int64) {
        var until = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
        while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nil) == EINTR {}
    }

    /// How often something is done in a second, of half a second.
    private static func rate(_ body: (Int) throws -> Void) rethrows -> Double {
        let start = cfloor_now()
        var count = 0
        while cfloor_now() - start < 500_000_000 {
            try body(count)
            count += 1
        }
        return Double(count) * 1e9 / Double(cfloor_now() - start)
    }

    /// Claims a key and leaves it claimed; true if it was won.
    @discardableResult
    private static func claim(
        _ key: String, _ session: Session, mayLose: Bool = false
    ) throws -> Bool {
        let outcome = try session.claim(
            key.key, for: .session, maxAge: nil, staleAfter: nil)
        if case .won = outcome { return true }
        guard mayLose else { fatalError("\(key) is taken") }
        return false
    }
}

extension String {
    var key: Store.Key { Store.Key(self) }
}
