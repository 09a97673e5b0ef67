import CFloor
import FlockCache
import Glibc
import SystemCalls

/// What an append costs, beside the same system calls in C; what eight processes append, beside SQLite; and how long
/// a follower takes to have what another process appends.
struct Journals {
    static let appender = "be-appender"
    static let follower = "be-follower"
    private static let record = String(repeating: "r", count: 96)

    private let directory: String
    private let count: Int

    init(_ directory: String, _ count: Int) {
        self.directory = directory
        self.count = count
    }

    func run() throws {
        print("append a record of 96 bytes, medians; beside the same system calls in C")
        try inProcess()
        print("eight processes, \(count) records each; beside SQLite (WAL, synchronous=NORMAL)")
        try manyProcesses()
        print("from an append to a follower of another process having the record")
        try following()
    }

    private func inProcess() throws {
        let journal = try Store(at: directory + "/store").journal("log")
        let bytes = Array(Self.record.utf8)
        try journal.append(bytes)
        let locks = open(directory + "/locks", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let segment = open(directory + "/segment", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let frame = [UInt8](repeating: 1, count: 128)
        guard posix_fallocate(segment, 0, off_t(4096 + 128 * count)) == 0 else {
            fatalError("fallocate")
        }
        var times = Times()
        for index in 0..<count {
            try times.ours { _ = try journal.append(bytes) }
            times.theirs {
                cfloor_append(
                    locks, segment, Int64(4096 + 128 * index), frame, frame.count, Int32(index & 1))
            }
        }
        times.report("append", beside: "C")
        print("  bound: 1.4 times C")
    }

    private func manyProcesses() throws {
        let sqlite = cfloor_sqlite_load()
        let path = directory + "/database"
        if let sqlite, cfloor_sqlite_make(sqlite, path) != 0 { fatalError("SQLite") }
        var (ours, theirs): ([Double], [Double]) = ([], [])
        // In turn, so that the machine's moods meet both.
        for round in 0..<3 {
            ours.append(try rate("ours", directory + "/many-\(round)"))
            if sqlite != nil { theirs.append(try rate("sqlite", path)) }
        }
        let mine = ours.sorted()[1]
        print("  ours \(Int(mine)) records/s")
        guard sqlite != nil else {
            print("  SQLite is not here")
            return
        }
        let other = theirs.sorted()[1]
        let ratio = (mine / other * 100).rounded() / 100
        print("  SQLite \(Int(other)) records/s   ratio \(ratio) (bound 5)")
    }

    private func rate(_ kind: String, _ path: String) throws -> Double {
        // As many as take a few seconds.
        let each = kind == "ours" ? count : max(500, count / 20)
        let start = cfloor_now()
        let processes = try (0..<8).map { _ in
            try startRole(Self.appender, [kind, path, "\(each)"])
        }
        for process in processes {
            guard try process.wait() == .exit(0) else { fatalError("an appender failed") }
        }
        return Double(8 * each) * 1e9 / Double(cfloor_now() - start)
    }

    static func beAppender(_ words: [String]) throws {
        guard words.count == 3, let count = Int32(words[2]) else { fatalError("\(words)") }
        if words[0] == "ours" {
            let journal = try Store(at: words[1]).journal("log")
            let bytes = Array(record.utf8)
            for _ in 0..<count { try journal.append(bytes) }
            return
        }
        guard let sqlite = cfloor_sqlite_load(),
            cfloor_sqlite_append(sqlite, words[1], record, count) == 0
        else { fatalError("SQLite failed") }
    }

    // MARK: Following

    private func following() throws {
        let rounds = 1000
        let path = directory + "/followed"
        let journal = try Store(at: path).journal("log")
        try journal.append("begin".utf8)
        let result = directory + "/times"
        let process = try startRole(Self.follower, [path, "\(rounds)", result])
        // Until it follows, the record that it waits for is not the first.
        while access(result, F_OK) != 0 { usleep(1000) }
        for _ in 0..<rounds {
            usleep(2000)
            try journal.append("\(cfloor_now())".utf8)
        }
        _ = try process.wait()
        let text = try File.open(path: FileName(Array(result.utf8))).contents(upTo: 1 << 20)
        let times = text.split(separator: 10).compactMap {
            Int64(String(decoding: $0, as: UTF8.self))
        }
        guard times.count == rounds else { fatalError("\(times.count) times") }
        print(
            "  median \(quantile(times, 0.5).microseconds) µs, p99 \(quantile(times, 0.99).microseconds) µs "
                + "(bound: median 100 µs)")
    }

    static func beFollower(_ words: [String]) throws {
        guard words.count == 3, let rounds = Int(words[1]) else { fatalError("\(words)") }
        let session = try Store(at: words[0]).session
        guard let reader = try session.readJournal("log", from: 2, isBounded: false),
            let file = fopen(words[2], "w")
        else { fatalError("\(words)") }
        var times: [Int64] = []
        while times.count < rounds {
            guard case .record(let record) = try reader.next() else {
                _ = session.waitForRecords(of: reader, upTo: nil)
                continue
            }
            let now = cfloor_now()
            let text = String(decoding: try reader.bytes(of: record), as: UTF8.self)
            times.append(now - (Int64(text) ?? 0))
        }
        for time in times { fputs("\(time)\n", file) }
        fclose(file)
    }
}
