internal import FlockCache

/// A command line as it was understood, and the world it runs in.
final class Invocation {
    let environment: Environment
    var operands: [[UInt8]] = []
    /// A COMMAND to run, and its arguments.
    var command: [[UInt8]] = []
    private var givenNames: [String] = []
    private var givenValues: [[UInt8]] = []

    init(_ environment: Environment) { self.environment = environment }

    func give(_ option: Option, _ value: [UInt8]) {
        givenNames.append(option.name)
        givenValues.append(value)
    }

    /// Whether an option stands there; where one stands twice the last one counts.
    func has(_ option: Option) -> Bool { raw(option) != nil }

    func raw(_ option: Option) -> [UInt8]? {
        givenNames.lastIndex(of: option.name).map { givenValues[$0] }
    }

    /// The exit code where somebody else has what was asked for: that of `-E`, if it is there.
    func conflict(_ failure: Failure) throws(Failure) -> Int32 {
        guard let code = number(.conflictCode) else { throw failure }
        Words(self).say(failure.message)
        return Int32(code)
    }

    // The parser has checked the values, so what cannot be read here is not given.

    func duration(_ option: Option) -> Duration? { raw(option).flatMap(Duration.init(argument:)) }
    func number(_ option: Option) -> UInt64? { raw(option).flatMap(UInt64.init(argument:)) }
    func size(_ option: Option) -> Int? { raw(option).flatMap(Int.init(sizeArgument:)) }

    /// How long to wait: nil for not at all, which is also what a wait of 0 says.
    func wait(_ option: Option, none: Option? = nil) -> WaitArgument? {
        if let none, has(none) { return nil }
        guard let raw = raw(option) else { return nil }
        if raw.elementsEqual("forever".utf8) { return .forever }
        return Duration(argument: raw).flatMap { $0 == .zero ? nil : .upTo($0) }
    }

    /// The same for a command that waits unless told otherwise: what FLOCK_CACHE_WAIT says, else five
    /// minutes.
    func waitByDefault() throws(Failure) -> WaitArgument? {
        if has(.wait) || has(.noWait) { return wait(.wait, none: .noWait) }
        guard let text = environment.setting("FLOCK_CACHE_WAIT") else {
            return .upTo(.seconds(300))
        }
        if text.elementsEqual("forever".utf8) { return .forever }
        guard let limit = Duration(argument: text) else {
            throw Failure(
                .configuration,
                "FLOCK_CACHE_WAIT is neither a duration nor 'forever': \(shown(text))")
        }
        return limit == .zero ? nil : .upTo(limit)
    }
}

enum WaitArgument {
    case forever
    case upTo(Duration)

    var limit: Duration? {
        if case .upTo(let limit) = self { limit } else { nil }
    }
}

extension Duration {
    /// `250ms`, `30s`, `5m`, `2h`, `7d`, or a number of seconds; fractions are allowed.
    init?(argument: [UInt8]) {
        let units: [(String, Double)] = [
            ("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("", 1),
        ]
        let digits = argument.prefix {
            UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: ".")
        }
        let rest = argument[digits.endIndex...]
        guard digits.contains(where: { $0 != UInt8(ascii: ".") }),
            let unit = units.first(where: { rest.elementsEqual($0.0.utf8) }),
            let number = Double(String(decoding: digits, as: UTF8.self))
        else { return nil }
        let seconds = number * unit.1
        // A hundred years: longer ones are not meant, and would leave the range of the clocks.
        guard seconds <= 3.2e9 else { return nil }
        self = .nanoseconds(Int64((seconds * 1e9).rounded()))
    }
}

extension UInt64 {
    /// Decimal digits.
    init?(argument: [UInt8]) {
        guard !argument.isEmpty,
            argument.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 })
        else { return nil }
        self.init(String(decoding: argument, as: UTF8.self))
    }
}

extension Int {
    /// `4096`, `64K`, `10M`, `2G`.
    init?(sizeArgument argument: [UInt8]) {
        let factors: [UInt8: Int] = [
            UInt8(ascii: "K"): 1 << 10, UInt8(ascii: "M"): 1 << 20, UInt8(ascii: "G"): 1 << 30,
        ]
        let factor = argument.last.flatMap { factors[$0] }
        let digits = factor == nil ? argument : Array(argument.dropLast())
        guard let number = UInt64(argument: digits).flatMap(Int.init(exactly:)) else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor ?? 1)
        if overflow { return nil }
        self = product
    }
}
