/// ", did you mean …?" if there is something near.
func suggestion(for name: [UInt8], among names: [String], prefix: String) -> String {
    let ranked = names.map { ($0, distance(name, Array($0.utf8))) }.min { $0.1 < $1.1 }
    guard let (nearest, changes) = ranked, changes <= max(1, name.count / 3) else { return "" }
    return "; did you mean \(prefix)\(nearest)?"
}

/// How many letters have to be changed, added, left out or exchanged with their neighbour.
private func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var rows = [Array(0...b.count)]
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var least = min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                least = min(least, rows[i - 1][j - 1] + 1)
            }
            row.append(least)
        }
        rows.append(row)
    }
    return rows[a.count][b.count]
}
