import Glibc

/// What a system publishes of one thing it does.
struct ScenarioFigure {
    /// A row of docs/reference/scenarios.md.
    let row: String
    /// With the unit in front.
    let name: String
    let published: Double
    let isRate: Bool

    static func rate(_ row: String, _ name: String, _ published: Double) -> ScenarioFigure {
        ScenarioFigure(row: row, name: name, published: published, isRate: true)
    }

    static func time(_ row: String, _ name: String, _ published: Double) -> ScenarioFigure {
        ScenarioFigure(row: row, name: name, published: published, isRate: false)
    }

    /// How many times better a number is than another.
    func times(_ ours: Double, _ other: Double) -> Double { isRate ? ours / other : other / ours }
}

/// A table of figures, or a JSON object for each: `row`, `name`, `published`, `ours`, `sqlite` (null where it was not
/// measured).
struct ScenarioReport {
    private static let rounds = 3
    private let directory: String
    private let isJSON: Bool
    /// A command that does the same with SQLite; nil where it cannot be run.
    private let sqlite: String?

    init(_ directory: String, isJSON: Bool) {
        self.directory = directory
        self.isJSON = isJSON
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let script = "python3 '/\(root)/Tests/Benchmarks/scenarios.py'"
        sqlite = Self.numbers(of: "\(script) version 2>/dev/null").isEmpty ? nil : script
    }

    func begin(_ command: String) {
        if isJSON { return }
        print("figures of five systems, medians of \(Self.rounds); the command is \(command)")
        if sqlite == nil {
            print("python3 with sqlite3, or Tests/Benchmarks, is not here: no SQLite")
        }
        print(row(["row", "what", "published", "ours", "SQLite", "× published", "× SQLite"]))
    }

    func say(_ text: String) { if !isJSON { print(text) } }

    /// Measures something of ours and of SQLite's in turn, and reports the medians; each gives as many numbers as
    /// there are figures.
    ///
    /// - Parameter theirs: what the script is to do; nil for nothing that could be compared.
    func measure(
        _ figures: [ScenarioFigure], _ theirs: String?, _ ours: (Int) throws -> [Double]
    ) throws {
        var (mine, other): ([[Double]], [[Double]]) = ([], [])
        for round in 0..<Self.rounds {
            mine.append(try ours(round))
            guard let sqlite, let theirs else { continue }
            let numbers = Self.numbers(of: "\(sqlite) '\(directory)' \(theirs)")
            guard numbers.count == figures.count else { fatalError("SQLite: \(theirs)") }
            other.append(numbers)
        }
        for (index, figure) in figures.enumerated() {
            func median(_ rounds: [[Double]]) -> Double? {
                rounds.isEmpty ? nil : rounds.map { $0[index] }.sorted()[rounds.count / 2]
            }
            tell(figure, median(mine) ?? .nan, median(other))
        }
    }

    private func tell(_ figure: ScenarioFigure, _ ours: Double, _ other: Double?) {
        if isJSON {
            let sqlite = other.map { "\($0)" } ?? "null"
            print(
                "{\"row\":\"\(figure.row)\",\"name\":\"\(figure.name)\",\"published\":"
                    + "\(figure.published),\"ours\":\(ours),\"sqlite\":\(sqlite)}")
            return
        }
        let ratio = other.map { short(figure.times(ours, $0)) } ?? "-"
        print(
            row([
                figure.row, figure.name, short(figure.published), short(ours),
                other.map(short) ?? "-", short(figure.times(ours, figure.published)), ratio,
            ]))
        fflush(nil)
    }

    private func row(_ fields: [String]) -> String {
        zip(fields, [5, 42, 11, 11, 11, 13, 0]).map { $0.padded($1) }.joined(separator: " ")
    }

    /// Three digits, and what is before the point.
    private func short(_ number: Double) -> String {
        if number >= 100 { return String(Int(number.rounded())) }
        var scale = 1.0
        while number * scale < 100, scale < 1e6 { scale *= 10 }
        return "\((number * scale).rounded() / scale)"
    }

    /// What a command prints; nothing where it fails.
    private static func numbers(of command: String) -> [Double] {
        guard let pipe = popen(command, "r") else { return [] }
        var text: [UInt8] = []
        var byte = fgetc(pipe)
        while byte >= 0 {
            text.append(UInt8(truncatingIfNeeded: byte))
            byte = fgetc(pipe)
        }
        guard pclose(pipe) == 0 else { return [] }
        return String(decoding: text, as: UTF8.self).split(separator: " ").compactMap {
            Double($0.filter { $0 != "\n" })
        }
    }
}
