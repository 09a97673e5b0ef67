import CFloor
import FlockCache
import Glibc
import SystemCalls

/// Counting and reaping in a store with many entries.
struct Million {
    static let role = "be-helper"
    let directory: String
    let entries: Int

    init(_ directory: String, _ entries: Int) {
        self.directory = directory
        self.entries = entries
    }

    private var path: String { directory + "/store" }

    func run() throws {
        let start = cfloor_now()
        let helpers = 4
        let fillers = try (0..<helpers).map { helper in
            try startRole(Self.role, ["fill", path, "\(helper)", "\(helpers)", "\(entries)"])
        }
        for filler in fillers {
            guard try filler.wait() == .exit(0) else { fatalError("a helper has failed") }
        }
        print("\(entries) entries, made in \((cfloor_now() - start) / 1_000_000_000) s")
        let store = try Store(at: path)
        guard try store.counts().ready == entries else { fatalError("some are missing") }

        var counting: [Int64] = []
        for _ in 0..<1000 {
            let start = cfloor_now()
            _ = try store.counts()
            counting.append(cfloor_now() - start)
        }
        print(
            "  counts                 median \(quantile(counting, 0.5).microseconds) p99 "
                + "\(quantile(counting, 0.99).microseconds) µs   (bound 50 µs)")

        var reaping: [Int64] = []
        for round in 0..<5 {
            let helper = try startRole(Self.role, ["leave", path, "\(round)"])
            guard try helper.wait() == .exit(0) else { fatalError("a helper has failed") }
            let start = cfloor_now()
            let reaped = try store.reap()
            reaping.append(cfloor_now() - start)
            guard reaped.count == 100 else { fatalError("reaped \(reaped.count)") }
        }
        print(
            "  reap, 100 stale        median \((quantile(reaping, 0.5) / 1000).microseconds) max "
                + "\((quantile(reaping, 1) / 1000).microseconds) ms   (bound 200 ms)")
        guard try store.counts().ready == entries else { fatalError("some are missing") }
    }

    /// One of the processes that fill the store, or that leave claims behind.
    static func beHelper(_ words: [String]) throws {
        let store = try Store(at: words[1])
        if words[0] == "leave" {
            for key in 0..<100 {
                let key = Store.Key("stale-\(words[2])-\(key)")
                guard
                    case .won = try store.session.claim(
                        key, for: .session, maxAge: nil, staleAfter: nil)
                else { fatalError("it is taken") }
            }
            _exit(0)
        }
        guard let first = Int(words[2]), let step = Int(words[3]), let end = Int(words[4]) else {
            fatalError("\(words)")
        }
        for number in stride(from: first, to: end, by: step) {
            guard case .won(let claim) = try store.claim(Store.Key("entry-\(number)")) else {
                fatalError("it is taken")
            }
            try claim.finalize("value of \(number)".utf8)
        }
    }
}
