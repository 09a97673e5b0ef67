/// Horizontal bars, in groups, as an SVG picture.
struct BarChart {
    let title: String
    let series: [(name: String, colour: Colour)]
    /// A name, and a number for each series; nil for one that was not measured.
    let groups: [(name: String, values: [Double?])]

    enum Colour: String {
        case blue = "#2f5fa8"
        case grey = "#9aa7b8"
        case amber = "#c98a2b"
    }

    private static let width = 720.0
    private static let left = 150.0
    private static let bar = 12.0
    private static let gap = 10.0
    private static let top = 66.0

    private var groupHeight: Double { Double(series.count) * Self.bar + Self.gap }

    var svg: String {
        let height = Self.top + Double(groups.count) * groupHeight + 6
        let most = groups.flatMap { $0.values.compactMap { $0 } }.max() ?? 1
        // Room for the number behind the longest bar.
        let scale = (Self.width - Self.left - 70) / most
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(height))" \
            font-family="sans-serif" font-size="12" role="img" aria-label="\(title)">
            """,
            "  <rect width=\"\(Int(Self.width))\" height=\"\(Int(height))\" fill=\"#ffffff\"/>",
            "  <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\" fill=\"#1c2b44\">\(title)</text>",
        ]
        for (index, of) in series.enumerated() {
            let x = 16 + 200 * index
            lines.append(
                "  <rect x=\"\(x)\" y=\"38\" width=\"12\" height=\"12\" fill=\"\(of.colour.rawValue)\"/>"
                    + "<text x=\"\(x + 18)\" y=\"48\" fill=\"#1c2b44\">\(of.name)</text>")
        }
        for (index, group) in groups.enumerated() {
            lines += bars(of: group, at: Self.top + Double(index) * groupHeight, scale)
        }
        return lines.joined(separator: "\n") + "\n</svg>\n"
    }

    private func bars(
        of group: (name: String, values: [Double?]), at top: Double, _ scale: Double
    ) -> [String] {
        let middle = top + Double(series.count) * Self.bar / 2 + 4
        var lines = [
            "  <text x=\"\(Int(Self.left) - 8)\" y=\"\(middle)\" text-anchor=\"end\" fill=\"#1c2b44\">\(group.name)</text>"
        ]
        for (index, value) in group.values.enumerated() {
            guard let value else { continue }
            let y = top + Double(index) * Self.bar
            let length = (value * scale * 10).rounded() / 10
            let number = value < 1000 ? "\((value * 10).rounded() / 10)" : Self.grouped(Int(value))
            lines.append(
                "  <rect x=\"\(Int(Self.left))\" y=\"\(y)\" width=\"\(length)\" height=\"\(Self.bar - 1)\""
                    + " fill=\"\(series[index].colour.rawValue)\"/>"
                    + "<text x=\"\(Self.left + length + 5)\" y=\"\(y + 10)\" font-size=\"11\" fill=\"#1c2b44\">\(number)</text>"
            )
        }
        return lines
    }

    /// 12,345 for 12345.
    private static func grouped(_ number: Int) -> String {
        let thousands = number / 1000
        return thousands == 0
            ? "\(number)" : grouped(thousands) + "," + "\(number % 1000 + 1000)".dropFirst()
    }
}
