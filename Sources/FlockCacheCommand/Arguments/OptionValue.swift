/// The kinds of values that options take, checked while parsing.
enum OptionKind: Sendable {
    case duration
    /// A duration or `forever`.
    case wait
    case size, count, integer, generation, owner, process, path, bytes, mode, exitCode

    var placeholder: String {
        switch self {
        case .duration: "D"
        case .wait: "D"
        case .size: "SIZE"
        case .count, .integer: "N"
        case .generation: "G"
        case .owner: "PID|none"
        case .process: "PID"
        case .path: "PATH"
        case .bytes: "TEXT"
        case .mode: "MODE"
        case .exitCode: "CODE"
        }
    }

    var expectation: String {
        switch self {
        case .duration: "a duration such as 250ms, 30s, 1m30s, 2h, 7d, 2w or 1.5"
        case .wait: "a duration such as 30s or 5m, or 'forever'"
        case .size: "a size such as 4096, 64K (of 1,024 bytes each), 10M, 1.5G or 2T"
        case .count: "a number"
        case .integer: "a whole number of 64 bits such as 5 or -5"
        case .generation: "a generation, a number"
        case .owner: "a process number, or 'none'"
        case .process: "a process number"
        case .path: "a path"
        case .bytes: "text"
        case .mode: "permissions in octal: 0700, 0750 or 0770"
        case .exitCode: "an exit code, 0 to 255"
        }
    }

    /// Whether a text is of this kind and only too large.
    func isTooLarge(_ text: [UInt8]) -> Bool {
        switch self {
        case .duration, .wait: Duration.isTooLong(argument: text)
        case .size: Int.isTooLarge(sizeArgument: text)
        case .count, .generation, .process, .exitCode, .integer:
            !text.isEmpty && text.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        case .owner, .path, .bytes, .mode: false
        }
    }

    /// What a text means; nil where it is not of this kind.
    func read(_ text: [UInt8]) -> OptionValue? {
        switch self {
        case .duration: Duration(argument: text).map { .duration($0) }
        case .wait: Wait(argument: text).map { .wait($0) }
        case .size: Int(sizeArgument: text).map { .size($0) }
        case .count: UInt64(argument: text).flatMap { Int(exactly: $0) }.map { .count($0) }
        case .integer: Int64(argument: text).map { .integer($0) }
        case .generation, .process: UInt64(argument: text).map { .number($0) }
        case .owner: NamedOwner(argument: text).map { .owner($0) }
        case .path, .bytes: .text
        case .mode: UInt32(String(decoding: text, as: UTF8.self), radix: 8).map { .mode($0) }
        case .exitCode:
            UInt64(argument: text).flatMap { 0...255 ~= $0 ? .exitCode(Int32($0)) : nil }
        }
    }
}

/// The value of an option, as the parser has read it.
enum OptionValue {
    /// The option stands alone.
    case none
    case duration(Duration)
    case wait(Wait)
    case size(Int)
    case count(Int)
    /// With a sign.
    case integer(Int64)
    /// A generation, or a process.
    case number(UInt64)
    case owner(NamedOwner)
    case mode(UInt32)
    case exitCode(Int32)
    /// Bytes that mean themselves.
    case text
}

/// How long to wait for others.
enum Wait {
    case not
    case upTo(Duration)
    case forever

    /// The same for the library: nil is without end, zero is not at all.
    var limit: Duration? {
        switch self {
        case .not: .zero
        case .upTo(let limit): limit
        case .forever: nil
        }
    }

    /// How a command ends whose wait has ended, or that was not to wait.
    var end: ExitCode { if case .not = self { .notNow } else { .timedOut } }
}

/// The process whose claim it is, by name.
enum NamedOwner {
    case nobody
    case process(UInt64)
}
