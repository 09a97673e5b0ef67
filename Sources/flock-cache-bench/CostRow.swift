/// How long one operation took, by each of those that are compared.
struct CostRow {
    enum Side: String, CaseIterable { case ours, lean, bare, sqlite }

    let name: String
    /// How many times the other's median ours may be.
    let bound: Double
    let boundTo: Side
    private var times: [Side: [Int64]] = [:]

    init(name: String, bound: Double, boundTo: Side) {
        (self.name, self.bound, self.boundTo) = (name, bound, boundTo)
    }

    /// - Parameter time: in nanoseconds.
    mutating func add(_ time: Int64, _ side: Side) { times[side, default: []].append(time) }

    /// In nanoseconds; nil where it was not measured.
    func median(_ side: Side) -> Double? { times[side].map { quantile($0, 0.5) } }

    func ratio(to side: Side) -> Double? {
        guard let ours = median(.ours), let other = median(side) else { return nil }
        return ours / other
    }

    static var header: String {
        "  " + "µs: p50 / p99".padded(19)
            + Side.allCases.map { $0.rawValue.padded(18) }.joined()
            + "to lean".padded(9) + "to SQLite".padded(11) + "bound"
    }

    var line: String {
        var line = "  " + name.padded(19)
        for side in Side.allCases {
            let times = times[side].map {
                "\(quantile($0, 0.5).microseconds) / \(quantile($0, 0.99).microseconds)"
            }
            line += (times ?? "-").padded(18)
        }
        line += (ratio(to: .lean).map { "\($0.hundredths)" } ?? "-").padded(9)
        line += (ratio(to: .sqlite).map { "\($0.hundredths)" } ?? "-").padded(11)
        return line + "\(bound) \(boundTo.rawValue)"
    }

    /// An object for each side.
    var json: [String] {
        Side.allCases.compactMap { side in
            times[side].map {
                """
                {"step":"\(name)","of":"\(side.rawValue)","count":\($0.count),\
                "p50_ns":\(Int(quantile($0, 0.5))),"p99_ns":\(Int(quantile($0, 0.99)))}
                """
            }
        }
    }
}

func printJSON(_ objects: [String]) { print("[" + objects.joined(separator: ",\n ") + "]") }
