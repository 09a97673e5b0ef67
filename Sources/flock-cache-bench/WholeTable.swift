import CFloor
import Glibc

/// Everything that docs/reference/performance.md tells, in one run, and its two pictures.
struct WholeTable {
    let directory: String
    let keys: Int
    /// Where the pictures go; nil for none.
    let pictures: String?

    func run(isJSON: Bool) throws {
        var costs = try CostTable(directory: directory, keys: keys, only: nil).measured()
        costs += try Opening(directory: directory, rounds: min(keys, 3000)).measured()
        let rivals = try Rivals(directory: directory, seconds: 1).measured()
        if isJSON {
            printJSON(costs.flatMap(\.json) + rivals.flatMap(\.json))
        } else {
            Self.tell(costs)
            Self.tell(rivals)
            if rivals.isEmpty { print("  SQLite is not installed here (libsqlite3.so.0)") }
        }
        guard let pictures else { return }
        Self.write(Self.picture(of: costs), to: pictures + "/cost-of-operations.svg")
        if !rivals.isEmpty {
            Self.write(Self.picture(of: rivals), to: pictures + "/many-processes.svg")
        }
    }

    static func tell(_ rows: [CostRow]) {
        if !rows.isEmpty { print(CostRow.header) }
        for row in rows { print(row.line) }
    }

    static func tell(_ rows: [RivalRow]) {
        for row in rows { print(row.line) }
    }

    // MARK: Pictures

    static func picture(of rows: [CostRow]) -> String {
        let sides: [(CostRow.Side, (name: String, colour: BarChart.Colour))] = [
            (.ours, ("flock-cache", .blue)), (.lean, ("the fewest calls in C", .grey)),
            (.sqlite, ("SQLite", .amber)),
        ]
        return BarChart(
            title: "Time of one operation, median, µs (less is better)",
            series: sides.map(\.1),
            groups: rows.map { row in
                (row.name, sides.map { row.median($0.0).map { $0 / 1000 } })
            }
        ).svg
    }

    static func picture(of rows: [RivalRow]) -> String {
        BarChart(
            title: "Claim, finalize, get: lives a second, all processes together (more is better)",
            series: [("flock-cache", .blue), ("SQLite", .amber)],
            groups: rows.filter { $0.part == .lives }.map { row in
                ("\(row.processes) processes", [row.lives[.ours], row.lives[.sqlite]])
            }
        ).svg
    }

    private static func write(_ text: String, to path: String) {
        guard let file = fopen(path, "w"), fputs(text, file) >= 0, fclose(file) == 0 else {
            fatalError("cannot write \(path)")
        }
    }
}
