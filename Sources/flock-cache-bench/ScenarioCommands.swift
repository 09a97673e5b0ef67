import CFloor
import FlockCache
import Glibc
import SystemCalls

/// The scenarios that are done with the command: a process for each thing.
struct ScenarioCommands {
    static let role = "be-lane"
    let directory: String
    let report: ScenarioReport
    let command: String

    func run() throws {
        try recording()
        try bulk()
        try bulkInOneProcess()
    }

    private func start(_ store: String, _ words: [String], _ output: PipeEnd?) throws
        -> ChildProcess
    {
        try Self.start(command, store, words, output)
    }

    private static func start(
        _ command: String, _ store: String, _ words: [String], _ output: PipeEnd?
    ) throws -> ChildProcess {
        try ChildProcess(
            ([command, "--store", store] + words).map { Array($0.utf8) },
            variables: Process.environment, output: output)
    }

    private func recording() throws {
        let figure = ScenarioFigure.time("E.1", "s, 100 processes record one run each", 2.6)
        try report.measure([figure], "record 100") { round in
            let store = "\(directory)/record-\(round)"
            // What they print is read at their end.
            let (reading, writing) = try PipeEnd.pair()
            let start = cfloor_now()
            let processes = try (0..<100).map { number in
                try self.start(store, ["journal", "append", "runs", "run-\(number) 12 0"], writing)
            }
            for process in processes {
                guard try process.wait() == .exit(0) else { fatalError("a command has failed") }
            }
            let time = Double(cfloor_now() - start) / 1e9
            guard try reading.readableBytes() > 0,
                try Store(at: store).journal("runs").kept == 1...100
            else { fatalError("not all of them are there") }
            return [time]
        }
    }

    // MARK: D.10

    /// A process for each claim, finalize, update and delete, as many at a time as there are processors.
    private func bulk() throws {
        let figures = [
            ScenarioFigure.time("D.10", "s, 1,000 claims and finalizes, command", 5),
            ScenarioFigure.time("D.10", "s, 1,000 updates, command", 3),
            ScenarioFigure.time("D.10", "s, 500 deletes, command", 2),
        ]
        let lanes = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        try report.measure(figures, nil) { round in
            let store = "\(directory)/command-\(round)"
            return try ["create", "update", "delete"].map { kind in
                let start = cfloor_now()
                let processes = try (0..<lanes).map { lane in
                    try startRole(Self.role, [kind, command, store, "\(lane)", "\(lanes)"])
                }
                for process in processes {
                    guard try process.wait() == .exit(0) else { fatalError("a lane has failed") }
                }
                return Double(cfloor_now() - start) / 1e9
            }
        }
    }

    /// One after the other of every so many.
    static func beLane(_ words: [String]) throws {
        guard words.count == 5, let lane = Int(words[3]), let lanes = Int(words[4]) else {
            fatalError("\(words)")
        }
        for number in stride(from: lane, to: words[0] == "delete" ? 500 : 1000, by: lanes) {
            let key = "document-\(number)"
            func run(_ arguments: [String]) throws -> String {
                try output(words[1], words[2], arguments)
            }
            switch words[0] {
            case "create":
                let generation = try run(["claim", key])
                _ = try run(["finalize", "--generation", generation, key, "first"])
            case "update": _ = try run(["put", key, "second"])
            default: _ = try run(["remove", key])
            }
        }
    }

    /// Runs the command; what it prints, without the end of the line.
    private static func output(
        _ command: String, _ store: String, _ arguments: [String]
    ) throws -> String {
        let (reading, writing) = try PipeEnd.pair()
        let process = try start(command, store, arguments, writing)
        guard try process.wait() == .exit(0) else { fatalError("\(arguments) failed") }
        var bytes = [UInt8](repeating: 0, count: 100)
        let ready = try reading.readableBytes()
        guard ready > 0 else { return "" }
        let count = read(reading.number, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count - 1)), as: UTF8.self)
    }

    private func bulkInOneProcess() throws {
        let figures = [
            ScenarioFigure.time("D.10", "s, 1,000 creates, one put --null", 5),
            ScenarioFigure.time("D.10", "s, 1,000 updates, one put --null", 3),
            ScenarioFigure.time("D.10", "s, 500 deletes, one remove", 2),
        ]
        try report.measure(figures, nil) { round in
            let store = "\(directory)/null-\(round)"
            let pairs = "\(directory)/pairs-\(round)"
            guard let file = fopen(pairs, "w") else { fatalError("errno \(errno)") }
            for number in 0..<1000 {
                fputs("document-\(number)", file)
                fputc(0, file)
                fputs("value", file)
                fputc(0, file)
            }
            guard fclose(file) == 0 else { fatalError("errno \(errno)") }
            let keys = (0..<500).map { "document-\($0)" }.joined(separator: " ")
            let put = "'\(command)' --store '\(store)' put --null"
            return try [
                "\(put) --if-absent <'\(pairs)' >/dev/null", "\(put) <'\(pairs)' >/dev/null",
                "exec '\(command)' --store '\(store)' remove \(keys)",
            ].map { script in
                let start = cfloor_now()
                let shell = try ChildProcess(
                    ["sh", "-c", script].map { Array($0.utf8) }, variables: Process.environment,
                    output: nil)
                guard try shell.wait() == .exit(0) else { fatalError(script) }
                return Double(cfloor_now() - start) / 1e9
            }
        }
    }
}
