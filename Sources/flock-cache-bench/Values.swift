import CFloor
import FlockCache
import Glibc
import SystemCalls

/// What it costs to set values and to count, beside the same system calls in C; and how fast eight processes
/// count, beside SQLite.
struct Values {
    static let role = "be-counter"
    private let directory: String
    private let rounds: Int
    private static let value = Array("file-0123456789abcdef0123456789abcdef".utf8)

    init(_ directory: String, rounds: Int) {
        self.directory = directory
        self.rounds = rounds
    }

    func run() throws {
        print("set and count, \(rounds) rounds, medians; ratio to C with the same system calls")
        try alone()
        print("8 processes that count one counter, a second each in turn")
        try together()
    }

    // MARK: Alone

    private func alone() throws {
        let store = try Store(at: directory + "/ours")
        var floor = makeFloor()
        makeCounter(floor)
        let opened = openat(floor.shard, "counter", O_RDWR | O_CLOEXEC)
        var (new, over, counted, others, got) = (Times(), Times(), Times(), Times(), Times())
        try store.put(Self.value, for: "value")
        try store.increment("counter")
        guard cfloor_put(&floor, "value", "value.pending", ".tmp") == 0 else { fatalError("C") }
        for round in 0..<rounds {
            let name = "key-\(round % 1000)"
            let key = Store.Key(name)
            if round >= 1000 {
                try store.remove(key)
                unlinkat(floor.shard, name, 0)
            }
            try new.ours { _ = try store.put(Self.value, for: key) }
            new.theirs { cfloor_put(&floor, name, name + ".pending", ".tmp") }
            try over.ours { _ = try store.put(Self.value, for: "value") }
            over.theirs { cfloor_put(&floor, "value", "value.pending", ".tmp") }
            try counted.ours { _ = try store.increment("counter") }
            counted.theirs {
                cfloor_increment(&floor, "counter", "counter.pending", opened, Int32(round % 2))
            }
            // Another counter each time: neither has it open.
            try others.ours { _ = try store.increment(round % 2 == 0 ? "even" : "odd") }
            others.theirs {
                cfloor_increment_opening(
                    &floor, "counter", "counter.pending", Int32(round % 2))
            }
            try store.increment("counter", by: 0)
            let entry = try got.ours { try store.entry(for: "counter") }
            guard entry?.value.count == String(round + 2).utf8.count else { fatalError("get") }
            got.theirs { cfloor_get(&floor, "counter") }
        }
        new.report("put, new", beside: "C")
        over.report("put, over", beside: "C")
        counted.report("increment", beside: "C")
        others.report("increment, another", beside: "C")
        got.report("get a number", beside: "C")
        let faster = over.median / counted.median
        print("  increment is \(faster.hundredths) times as fast as put over a value")
        print("  bounds: 1.4 times C; on ext4 with a journal 4 times as fast as put")
    }

    private func makeFloor() -> cfloor_store {
        var floor = cfloor_store()
        guard cfloor_open(&floor, directory + "/floor") == 0 else { fatalError("the floor") }
        func text(_ count: Int) -> UnsafePointer<CChar> {
            let memory = UnsafeMutablePointer<CChar>.allocate(capacity: count)
            memory.initialize(repeating: 120, count: count)
            return UnsafePointer(memory)
        }
        (floor.claim, floor.claim_length) = (text(270), 270)
        floor.value_length = 69 + Self.value.count
        floor.value = text(floor.value_length)
        return floor
    }

    /// A record as long as one of ours that is counted.
    private func makeCounter(_ floor: cfloor_store) {
        let file = openat(floor.shard, "counter", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let bytes = [CChar](repeating: 120, count: 1636)
        guard write(file, bytes, bytes.count) == bytes.count else { fatalError("the floor") }
        close(file)
    }

    // MARK: Together

    private static let processes = 8
    private static let turns = 5

    private func together() throws {
        let hasSQLite = cfloor_sqlite_load().map {
            cfloor_sqlite_make($0, directory + "/database") == 0
        }
        guard hasSQLite == true else {
            print("  SQLite is not installed here (libsqlite3.so.0); nothing to compare with")
            return
        }
        var rates: [String: [Double]] = [:]
        for turn in 0..<Self.turns {
            for kind in ["ours", "sqlite"] {
                rates[kind, default: []].append(try rate(kind, turn))
            }
        }
        let (ours, sqlite) = (middle(rates["ours"]), middle(rates["sqlite"]))
        print(
            "  ours \(Int(ours))/s   SQLite \(Int(sqlite))/s   ratio \((ours / sqlite).hundredths)   "
                + "bound: 1 (WAL, synchronous=NORMAL)")
        let store = try Store(at: directory + "/ours")
        let counted = try store.entry(for: "together").map {
            String(decoding: $0.value, as: UTF8.self)
        }
        guard counted == String(Self.total(directory)) else {
            fatalError("counted \(counted ?? "")")
        }
        print("  and the counter is exact: \(counted ?? "")")
    }

    private func middle(_ rates: [Double]?) -> Double {
        let sorted = (rates ?? []).sorted()
        return sorted[sorted.count / 2]
    }

    /// How often eight processes count in a second, all together.
    private func rate(_ kind: String, _ turn: Int) throws -> Double {
        let gate = directory + "/gate-\(kind)-\(turn)"
        let counters = try (0..<Self.processes).map { number in
            try startRole(Self.role, [kind, directory, gate, "\(kind)-\(turn)-\(number)"])
        }
        for number in 0..<Self.processes {
            while access("\(directory)/ready-\(kind)-\(turn)-\(number)", F_OK) != 0 { usleep(1000) }
        }
        close(open(gate, O_CREAT | O_WRONLY, 0o600))
        var sum = 0.0
        for (number, process) in counters.enumerated() {
            guard try process.wait() == .exit(0) else { fatalError("a counter failed") }
            sum += Self.read("\(directory)/\(kind)-\(turn)-\(number)").rate
        }
        return sum
    }

    /// One of the processes: says that it is ready, waits for the gate, counts for a second, and writes how
    /// often and how fast.
    static func beCounter(_ words: [String]) throws {
        let (kind, directory, gate, name) = (words[0], words[1], words[2], words[3])
        let count: () throws -> Void
        if kind == "ours" {
            let store = try Store(at: directory + "/ours")
            count = { try store.increment("together") }
        } else {
            guard let sqlite = cfloor_sqlite_load(),
                let connection = cfloor_sqlite_connect(sqlite, directory + "/database")
            else { fatalError("SQLite") }
            count = { if cfloor_sqlite_increment(connection) != 0 { fatalError("SQLite") } }
        }
        close(open("\(directory)/ready-\(name)", O_CREAT | O_WRONLY, 0o600))
        while access(gate, F_OK) != 0 { usleep(200) }
        let start = cfloor_now()
        var times = 0
        while cfloor_now() - start < 1_000_000_000 {
            try count()
            times += 1
        }
        let rate = Double(times) * 1e9 / Double(cfloor_now() - start)
        let text = Array("\(times) \(rate)".utf8)
        let file = open("\(directory)/\(name)", O_CREAT | O_WRONLY, 0o600)
        guard Glibc.write(file, text, text.count) == text.count else { fatalError("write") }
        close(file)
    }

    private static func read(_ path: String) -> (times: Int, rate: Double) {
        var bytes = [UInt8](repeating: 0, count: 100)
        let file = open(path, O_RDONLY)
        let count = Glibc.read(file, &bytes, bytes.count)
        close(file)
        let words = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(
            separator: " ")
        guard words.count == 2, let times = Int(words[0]), let rate = Double(words[1]) else {
            fatalError("\(path)")
        }
        return (times, rate)
    }

    private static func total(_ directory: String) -> Int {
        (0..<turns).flatMap { turn in
            (0..<processes).map { read("\(directory)/ours-\(turn)-\($0)").times }
        }.reduce(0, +)
    }
}
