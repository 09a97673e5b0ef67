/// What several processes did at once, by ours and by SQLite.
struct RivalRow {
    enum Part: String, CaseIterable {
        /// Lives of keys of their own.
        case lives
        /// All ask for one key at the same moment.
        case oneKey = "one-key"
    }

    let part: Part
    let processes: Int
    /// A second, all processes together.
    var lives: [CostRow.Side: Double] = [:]
    /// How long it took, in nanoseconds, to hear that a key was lost.
    var losses: [CostRow.Side: [Int64]] = [:]

    init(part: Part, processes: Int) { (self.part, self.processes) = (part, processes) }

    func lost(_ side: CostRow.Side, _ part: Double) -> Double {
        let times = losses[side] ?? []
        return times.isEmpty ? 0 : quantile(times, part)
    }

    /// More is better for lives, less for who loses.
    var ratio: Double {
        part == .lives
            ? (lives[.ours] ?? 0) / (lives[.sqlite] ?? 1) : lost(.ours, 0.5) / lost(.sqlite, 0.5)
    }

    private var bound: String {
        switch (part, processes) {
        case (.lives, 2): "1.2 at least"
        case (.lives, 8): "2 at least"
        case (.lives, _): "3 at least"
        case (_, 2): "3 at most"
        default: "2 at most, p99 0.1"
        }
    }

    var line: String {
        let name = part == .lives ? "lives" : "a key lost"
        var line = "  \(name), \(processes) processes".padded(27)
        for side in [CostRow.Side.ours, .sqlite] {
            line += side.rawValue + " "
            line +=
                part == .lives
                ? "\(Int(lives[side] ?? 0))/s".padded(18)
                : "\(lost(side, 0.5).microseconds) / \(lost(side, 0.99).microseconds) µs".padded(26)
        }
        line += "to SQLite \(ratio.hundredths)"
        if part == .oneKey {
            line += ", p99 \((lost(.ours, 0.99) / lost(.sqlite, 0.99)).hundredths)"
        }
        return line + "  (bound \(bound))"
    }

    var json: [String] {
        [CostRow.Side.ours, .sqlite].map { side in
            """
            {"part":"\(part.rawValue)","processes":\(processes),"of":"\(side.rawValue)",\
            "lives_per_s":\(Int(lives[side] ?? 0)),"lost":\(losses[side]?.count ?? 0),\
            "lost_p50_ns":\(Int(lost(side, 0.5))),"lost_p99_ns":\(Int(lost(side, 0.99)))}
            """
        }
    }
}
