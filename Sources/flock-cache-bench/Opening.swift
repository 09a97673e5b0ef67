import CFloor
import FlockCache
import Glibc
import SystemCalls

/// What a short-lived tool does: it opens the store, does one thing and closes it, beside the same with SQLite.
struct Opening {
    let directory: String
    let rounds: Int

    /// No rows where SQLite is not installed.
    func measured() throws -> [CostRow] {
        let database = directory + "/opened-database"
        guard let sqlite = cfloor_sqlite_load(), cfloor_sqlite_make(sqlite, database) == 0 else {
            return []
        }
        guard let owner = try ProcessIdentity(of: getpid()) else { fatalError("who am I?") }
        let path = directory + "/opened"
        var claimed = CostRow(name: "open, claim, close", bound: 0.5, boundTo: .sqlite)
        var got = CostRow(name: "open, get, close", bound: 0.25, boundTo: .sqlite)
        try Store(at: path).put(CostTable.value.utf8, for: "value")
        let rows = cfloor_rows_open(sqlite, database)
        guard cfloor_rows_put(rows, "value", CostTable.value) == 0 else { fatalError("SQLite") }
        for round in 0..<rounds {
            let key = "key-\(round)"
            claimed.add(
                try timed {
                    let outcome = try Store(at: path).session.claim(
                        Store.Key(key), for: .process(owner, command: Array("bench".utf8)),
                        maxAge: nil, staleAfter: nil)
                    guard case .won = outcome else { fatalError("a fresh key is won") }
                }, .ours)
            claimed.add(timed { check(cfloor_sqlite_claim(sqlite, database, key)) }, .sqlite)
            got.add(
                try timed {
                    guard try Store(at: path).entry(for: "value") != nil else { fatalError("get") }
                }, .ours)
            got.add(timed { check(cfloor_sqlite_get(sqlite, database, "value")) }, .sqlite)
        }
        return [claimed, got]
    }

    private func check(_ result: Int32) { if result != 0 { fatalError("SQLite") } }

    private func timed(_ body: () throws -> Void) rethrows -> Int64 {
        let start = cfloor_now()
        try body()
        return cfloor_now() - start
    }
}
