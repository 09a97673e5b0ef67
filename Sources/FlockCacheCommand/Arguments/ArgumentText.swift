// How values are written on a command line and in variables. Each initialiser is nil for other
// text.

extension Duration {
    /// `250ms`, `30s`, `5m`, `2h`, `7d`, `2w`, several of them as in `1m30s`, or a number of seconds;
    /// fractions are allowed.
    init?(argument: [UInt8]) {
        guard let seconds = Self.seconds(argument), seconds <= Self.longest else { return nil }
        self = .nanoseconds(Int64((seconds * 1e9).rounded()))
    }

    /// Whether it is a duration, but one that is longer than any that is meant.
    static func isTooLong(argument: [UInt8]) -> Bool {
        seconds(argument).map { $0 > longest } ?? false
    }

    /// A hundred years, in seconds: longer ones would leave the range of the clocks.
    private static let longest = 3.2e9

    private static func seconds(_ argument: [UInt8]) -> Double? {
        var rest = argument[...]
        var sum = 0.0
        var last = Double.infinity
        repeat {
            guard let number = takeNumber(&rest) else { return nil }
            let letters = rest.prefix { UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 }
            rest = rest.dropFirst(letters.count)
            guard let unit = unit(letters, standsAlone: last == .infinity && rest.isEmpty),
                unit < last
            else { return nil }
            last = unit
            sum += number * unit
        } while !rest.isEmpty
        return sum
    }

    private static func unit(_ letters: ArraySlice<UInt8>, standsAlone: Bool) -> Double? {
        let units: [(String, Double)] = [
            ("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("w", 7 * 86400),
        ]
        if letters.isEmpty { return standsAlone ? 1 : nil }
        return units.first { letters.elementsEqual($0.0.utf8) }?.1
    }
}

/// Takes a decimal number, perhaps with a fraction, from the beginning of a text.
private func takeNumber(_ text: inout ArraySlice<UInt8>) -> Double? {
    let digits = text.prefix {
        UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: ".")
    }
    guard digits.contains(where: { $0 != UInt8(ascii: ".") }) else { return nil }
    text = text.dropFirst(digits.count)
    return Double(String(decoding: digits, as: UTF8.self))
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
    /// `4096`, `64K`, `10M`, `1.5G`, `2T`; `k` as `K`, `KiB` as `K`; rounded down to a byte.
    init?(sizeArgument argument: [UInt8]) {
        guard let size = Self.size(argument) else { return nil }
        self.init(exactly: size.rounded(.down))
    }

    /// Whether it is a size, but one that no file system has.
    static func isTooLarge(sizeArgument argument: [UInt8]) -> Bool {
        size(argument).map { Int(exactly: $0.rounded(.down)) == nil } ?? false
    }

    private static func size(_ argument: [UInt8]) -> Double? {
        let units: [(String, Double)] = [
            ("", 1), ("K", 0x1p10), ("k", 0x1p10), ("M", 0x1p20), ("G", 0x1p30), ("T", 0x1p40),
        ]
        var rest = argument[...]
        guard let number = takeNumber(&rest),
            let unit = units.first(where: { unit in
                rest.elementsEqual(unit.0.utf8)
                    || !unit.0.isEmpty && rest.elementsEqual((unit.0 + "iB").utf8)
            })
        else { return nil }
        return number * unit.1
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

extension String {
    /// The text with another in the place of each such character.
    ///
    /// `replacing(_:with:)` brings the library of regular expressions along: 1.3 MB of the static command.
    func substituting(_ text: String, for character: Character) -> String {
        String(flatMap { $0 == character ? text : String($0) })
    }
}
