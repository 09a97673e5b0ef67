// How values are written on a command line and in variables. Each initialiser is nil for other
// text.

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

extension Int64 {
    /// Decimal digits, and before them a `-` or not.
    init?(argument: [UInt8]) {
        let isNegative = argument.first == UInt8(ascii: "-")
        guard let magnitude = UInt64(argument: isNegative ? Array(argument.dropFirst()) : argument)
        else { return nil }
        // Of the lowest number there is no positive one.
        self.init(exactly: isNegative ? -Int128(magnitude) : Int128(magnitude))
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

extension Wait {
    /// A duration, of which 0 is not to wait, or `forever`.
    init?(argument: [UInt8]) {
        if argument.elementsEqual("forever".utf8) {
            self = .forever
        } else {
            guard let limit = Duration(argument: argument) else { return nil }
            self = limit == .zero ? .not : .upTo(limit)
        }
    }
}

extension NamedOwner {
    /// A process number, or `none`.
    init?(argument: [UInt8]) {
        if argument.elementsEqual("none".utf8) {
            self = .nobody
        } else {
            guard let process = UInt64(argument: argument) else { return nil }
            self = .process(process)
        }
    }
}
