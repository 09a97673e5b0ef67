import CFloor
import FlockCache
import Glibc
import SystemCalls

/// What it measures is in `usage`.
@main
struct Benchmark {
    static let usage = """
        Measurements, each in a directory of its own that goes again.

            flock-cache-bench [DIRECTORY [KEYS]]              what a claim's life costs, beside the same calls in C
            flock-cache-bench table DIRECTORY [KEYS] [--json] [--svg DIRECTORY]
                                                              what everything costs, beside C and SQLite: the next two
            flock-cache-bench life DIRECTORY [KEYS [SIDE]] [--json]  each operation, beside the fewest calls for it
            flock-cache-bench rivals DIRECTORY [SECONDS] [--json]  2, 8 and 16 processes at once, beside SQLite
            flock-cache-bench waking DIRECTORY [ROUNDS]       from finalize to the waiter having the value
            flock-cache-bench timeouts DIRECTORY [short]      how late waits end
            flock-cache-bench idle DIRECTORY [SECONDS]        what a waiter costs that nobody wakes
            flock-cache-bench million DIRECTORY [ENTRIES]     counting and reaping in a large store
            flock-cache-bench locks DIRECTORY [ROUNDS]        what a lock costs, beside C
            flock-cache-bench queue DIRECTORY [SECONDS [PART]] how locks are shared out among those who wait
            flock-cache-bench leases DIRECTORY [SECONDS]      what renewing a lease costs, beside C
            flock-cache-bench journals DIRECTORY [RECORDS]    what an append costs, beside C and SQLite
            flock-cache-bench values DIRECTORY [ROUNDS]       what put and increment cost, beside C and SQLite
            flock-cache-bench scenarios DIRECTORY [ENTRIES] [--json] [--command PATH]
                                                              what five systems publish, beside ours and SQLite's

        What is compared is done in turn, so that the machine's moods meet all alike. Quote the ratios; the
        absolute times are the machine's.
        """

    static func main() throws {
        let arguments = CommandLine.arguments
        let subject = arguments.count > 1 ? arguments[1] : ""
        let base = arguments.count > 2 ? arguments[2] : "/dev/shm"
        let number = arguments.count > 3 ? Int(arguments[3]) : nil
        let isJSON = arguments.contains("--json")
        switch subject {
        case "help", "--help", "-h": print(usage)
        case "table":
            let pictures = arguments.firstIndex(of: "--svg").map { arguments[$0 + 1] }
            try inDirectory(base) {
                try WholeTable(directory: $0, keys: number ?? 20_000, pictures: pictures)
                    .run(isJSON: isJSON)
            }
        case "life":
            try inDirectory(base) {
                let rows = try CostTable(
                    directory: $0, keys: number ?? 20_000,
                    only: arguments.dropFirst(4).first { $0 != "--json" }
                ).measured()
                isJSON ? printJSON(rows.flatMap(\.json)) : WholeTable.tell(rows)
            }
        case "rivals":
            try inDirectory(base) {
                let rows = try Rivals(directory: $0, seconds: number ?? 1).measured()
                isJSON ? printJSON(rows.flatMap(\.json)) : WholeTable.tell(rows)
            }
        case Rivals.role: try Rivals.beRival(Array(arguments.dropFirst(2)))
        case "waking": try inDirectory(base) { try Waking($0, rounds: number ?? 100).run() }
        case "timeouts":
            try inDirectory(base) { try TimeOuts($0, isShort: arguments.last == "short").run() }
        case "idle": try inDirectory(base) { try Idle($0, seconds: number ?? 10).run() }
        case "million": try inDirectory(base) { try Million($0, number ?? 1_000_000).run() }
        case "locks": try inDirectory(base) { try Locks($0, rounds: number ?? 20_000).run() }
        case "queue":
            try inDirectory(base) {
                try Queue($0, seconds: number ?? 3, only: arguments.dropFirst(4).first).run()
            }
        case "leases": try inDirectory(base) { try Leases($0, seconds: number ?? 10).run() }
        case "journals": try inDirectory(base) { try Journals($0, number ?? 20_000).run() }
        case Journals.appender: try Journals.beAppender(Array(arguments.dropFirst(2)))
        case Journals.follower: try Journals.beFollower(Array(arguments.dropFirst(2)))
        case "values": try inDirectory(base) { try Values($0, rounds: number ?? 20_000).run() }
        case "scenarios":
            try inDirectory(base) { try Scenarios($0, Array(arguments.dropFirst(3))).run() }
        case Scenarios.role: try Scenarios.be(Array(arguments.dropFirst(2)))
        case ScenarioCommands.role: try ScenarioCommands.beLane(Array(arguments.dropFirst(2)))
        case Values.role: try Values.beCounter(Array(arguments.dropFirst(2)))
        case Locks.role: try Locks.beHolder(Array(arguments.dropFirst(2)))
        case Contest.victim: try Contest.beVictim(Array(arguments.dropFirst(2)))
        case Contest.waiter: try Contest.beWaitingVictim(Array(arguments.dropFirst(2)))
        case Arrivals.role: try Arrivals.beArriver(Array(arguments.dropFirst(2)))
        case Contest.role: try Contest.beLocker(Array(arguments.dropFirst(2)))
        case Waking.role: try Waking.beWaiter(Array(arguments.dropFirst(2)))
        case Million.role: try Million.beHelper(Array(arguments.dropFirst(2)))
        default:
            let keys = arguments.count > 2 ? Int(arguments[2]) ?? 20_000 : 20_000
            let directory = subject.isEmpty ? "/dev/shm" : subject
            guard access(directory, F_OK) == 0 else {
                print("neither a measurement nor a directory: \(directory)\n\n\(usage)")
                exit(64)
            }
            try inDirectory(directory) { try claims($0, keys) }
        }
    }

    private static func claims(_ directory: String, _ keys: Int) throws {
        print("in process, \(keys) keys, medians; ratio to C that looks again at each name")
        try ClaimLife(directory: directory, keys: keys).run()
        print(
            "opening, claiming a fresh key and closing; ratio to SQLite (WAL, synchronous=NORMAL)")
        WholeTable.tell(try Opening(directory: directory, rounds: min(keys, 3000)).measured())
        print("statistics")
        try Statistics(directory: directory).run()
    }

    private static func inDirectory(_ base: String, _ body: (String) throws -> Void) throws {
        var template = Array("\(base)/flock-cache-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { fatalError("cannot make a directory in \(base)") }
        let directory = String(decoding: template.dropLast().map { UInt8($0) }, as: UTF8.self)
        defer { remove(directory) }
        try body(directory)
    }

    private static func remove(_ directory: String) {
        var process: pid_t = 0
        let words: [String] = ["rm", "-rf", directory]
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { (word: String) in strdup(word) }
        argv.append(nil)
        if posix_spawnp(&process, "rm", nil, nil, argv, environ) == 0 { waitpid(process, nil, 0) }
    }
}

/// This program again, in another part; it ends with this process.
func startRole(_ role: String, _ arguments: [String]) throws -> ChildProcess {
    try ChildProcess(
        ([CommandLine.arguments[0], role] + arguments).map { Array($0.utf8) },
        variables: Process.environment, output: nil)
}

/// A quantile of times.
func quantile(_ times: [Int64], _ part: Double) -> Double {
    let sorted = times.sorted()
    return Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))])
}

/// Times of one operation, by us and by another.
struct Times {
    private var ours: [Int64] = []
    private var theirs: [Int64] = []

    mutating func add(ours time: Int64) { ours.append(time) }
    mutating func add(theirs time: Int64) { theirs.append(time) }

    @inline(__always)
    mutating func ours<R: ~Copyable>(_ body: () throws -> R) rethrows -> R {
        let start = cfloor_now()
        let result = try body()
        add(ours: cfloor_now() - start)
        return result
    }

    /// Times a call of the floor, which returns 0.
    @inline(__always)
    mutating func theirs(_ body: () -> Int32) {
        let start = cfloor_now()
        guard body() == 0 else { fatalError("the floor failed") }
        add(theirs: cfloor_now() - start)
    }

    /// Nanoseconds of ours.
    var median: Double { quantile(ours, 0.5) }

    func report(_ name: String, beside other: String) {
        let (a, b) = (quantile(ours, 0.5), quantile(theirs, 0.5))
        let ratio = a / b
        print(
            "  \(name.padded(22)) \(a.microseconds) µs   \(other) \(b.microseconds) µs   "
                + "ratio \((ratio * 100).rounded() / 100)   p99 \(quantile(ours, 0.99).microseconds)"
                + " / \(quantile(theirs, 0.99).microseconds) µs")
    }

}

extension Double {
    /// Nanoseconds as microseconds, with two decimals.
    var microseconds: String {
        let hundredths = Int((self / 10).rounded())
        let fraction = String(hundredths % 100 + 100).dropFirst()
        return "\(hundredths / 100).\(fraction)"
    }
}

extension String {
    func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}

/// Claim, claim lost, finalize and get of one key after the other.
struct ClaimLife {
    let directory: String
    let keys: Int

    private let value = Array("file-0123456789abcdef0123456789abcdef".utf8)

    func run() throws {
        let store = try Store(at: directory + "/ours")
        let rival = try Store(at: directory + "/ours")
        var floor = makeFloor()
        var (fresh, lost, finalized, got) = (Times(), Times(), Times(), Times())
        for index in 0..<keys {
            // Hashes are what keys usually are.
            let text = name(index)
            let key = Store.Key(text)
            let result = try fresh.ours { try store.claim(key) }
            guard case .won(let won) = consume result else { fatalError("a fresh key is won") }
            fresh.theirs { cfloor_claim(&floor, text, text + ".pending") }

            let losing = try lost.ours { try rival.claim(key) }
            guard case .pending = losing else { fatalError("a claimed key is pending") }
            lost.theirs { cfloor_claim_lost(&floor, text, text + ".pending") }

            let start = cfloor_now()
            try won.finalize(value)
            finalized.add(ours: cfloor_now() - start)
            finalized.theirs { cfloor_finalize(&floor, text, text + ".pending") }

            let entry = try got.ours { try rival.entry(for: key) }
            guard let entry, entry.value.count == value.count else { fatalError("get") }
            got.theirs { cfloor_get(&floor, text) }
        }
        fresh.report("claim, fresh", beside: "C")
        lost.report("claim, lost", beside: "C")
        finalized.report("finalize", beside: "C")
        got.report("get", beside: "C")
    }

    /// A store of the floor's, with records of the size that ours have.
    private func makeFloor() -> cfloor_store {
        var floor = cfloor_store()
        guard cfloor_open(&floor, directory + "/floor") == 0 else {
            fatalError("cannot make the floor")
        }
        let claimText = [CChar](repeating: 120, count: 270)
        let valueText = [CChar](repeating: 120, count: 68 + value.count)
        floor.claim = UnsafePointer(copy(claimText))
        floor.claim_length = claimText.count
        floor.value = UnsafePointer(copy(valueText))
        floor.value_length = valueText.count
        return floor
    }

    private func name(_ index: Int) -> String {
        let digits = String(UInt64(index) &* 0x9e37_79b9_7f4a_7c15, radix: 16)
        return "sha256:" + String(repeating: "0", count: 64 - digits.count) + digits
    }

    private func copy(_ text: [CChar]) -> UnsafeMutablePointer<CChar> {
        let memory = UnsafeMutablePointer<CChar>.allocate(capacity: text.count)
        memory.update(from: text, count: text.count)
        return memory
    }
}

/// Counting what is in a store.
struct Statistics {
    let directory: String

    func run() throws {
        let store = try Store(at: directory + "/ours")
        _ = try store.counts()
        var times = Times()
        for _ in 0..<2000 {
            var start = cfloor_now()
            let counts = try store.counts()
            times.add(ours: cfloor_now() - start)
            guard counts.isExact else { fatalError("exact") }
            start = cfloor_now()
            times.add(theirs: cfloor_now() - start)
        }
        times.report("counts, \(try store.counts().ready) entries", beside: "reading the clock")
    }
}
