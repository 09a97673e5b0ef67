internal import FlockCache
internal import SystemCalls

/// Results for people: aligned columns, and colour, on a terminal alone.
///
/// On a pipe the same results are fields with tabs between them, which no release changes.
struct Table {
    enum Color: String { case red = "31", yellow = "33", bold = "1" }

    private let hasColor: Bool
    private let width: Int?

    /// nil where standard output is no terminal.
    init?(_ invocation: Invocation) {
        guard Process.isTerminal(invocation.environment.output) else { return nil }
        hasColor = invocation.environment.setting(.noColor) == nil
        width = Process.lineWidth(of: invocation.environment.output)
    }

    /// Rows as columns, each as wide as its widest field; the last one is not padded.
    ///
    /// - Parameters:
    ///   - numbers: columns that are aligned at their ends.
    ///   - sparable: columns that are left out, in that order, until a line of the terminal holds the rest.
    func lines(
        _ rows: [[String]], numbers: Set<Int> = [], sparable: [Int] = []
    ) -> [String] {
        guard let first = rows.first else { return [] }
        let widths = first.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var columns = Array(first.indices)
        for spared in sparable {
            let whole = columns.reduce(0) { $0 + widths[$1] + 2 } - 2
            if whole <= width ?? .max { break }
            columns.removeAll { $0 == spared }
        }
        return rows.map { row in
            columns.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                if numbers.contains(column) { return space + row[column] }
                return column == columns.last ? row[column] : row[column] + space
            }.joined(separator: "  ")
        }
    }

    func colored(_ text: String, _ color: Color?) -> String {
        guard hasColor, let color else { return text }
        return "\u{1b}[\(color.rawValue)m\(text)\u{1b}[0m"
    }
}

/// A number of bytes as people say it: "512 B", "1.5 KiB".
func spoken(bytes: Int) -> String {
    var size = Double(bytes)
    if size < 1024 { return "\(bytes) B" }
    for unit in ["KiB", "MiB", "GiB"] {
        size /= 1024
        if size < 1024 || unit == "GiB" {
            let tenths = Int((size * 10).rounded())
            return "\(tenths / 10).\(tenths % 10) \(unit)"
        }
    }
    return "\(bytes) B"
}

/// How far something has come that takes long, on a terminal's standard error after two seconds.
final class Progress {
    private let environment: Environment
    private let what: String
    private let isShown: Bool
    private let start = BootTime.now
    private var last = BootTime(nanoseconds: 0)
    private var isVisible = false

    init(_ invocation: Invocation, _ what: String) {
        environment = invocation.environment
        self.what = what
        isShown =
            Process.isTerminal(environment.error) && !invocation.has(.quiet)
            && !invocation.has(.json)
    }

    /// Before each of so many steps, or of a number that is not known.
    func step(_ step: Int, _ steps: Int) {
        guard isShown, isTime else { return }
        show(steps > 0 ? "\(what): \(step * 100 / steps) %" : "\(what): \(step)")
    }

    private var isTime: Bool {
        let now = BootTime.now
        guard now >= start.advanced(by: .seconds(2)), now >= last.advanced(by: .milliseconds(200))
        else { return false }
        last = now
        return true
    }

    private func show(_ text: String) {
        isVisible = true
        write("\r\u{1b}[K\(text)")
    }

    /// Takes the line away.
    func end() {
        if isVisible { write("\r\u{1b}[K") }
        isVisible = false
    }

    private func write(_ text: String) {
        // For people alone: where it cannot be shown nothing is missing.
        try? writeDescriptor(environment.error, Array(text.utf8))
    }
}
