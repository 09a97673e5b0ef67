internal import SystemCalls

/// What a record of the journal of changes tells of a key.
package enum ChangeEvent: UInt8, CaseIterable, Sendable {
    case claimed = 1
    case takenOver = 2
    case finalized = 3
    case put = 4
    case incremented = 5
    case abandoned = 6
    case removed = 7
    case reaped = 8
    case leased = 9
    case released = 10
    case expired = 11
    /// Of no key: the machine was restarted, or this store is a copy. What is in the store may be older than
    /// the events before this one say: list it again.
    case restarted = 12

    /// As `watch` prints it, and as it stands in the journal.
    package var name: String {
        switch self {
        case .claimed: "claimed"
        case .takenOver: "taken-over"
        case .finalized: "finalized"
        case .put: "put"
        case .incremented: "incremented"
        case .abandoned: "abandoned"
        case .removed: "removed"
        case .reaped: "reaped"
        case .leased: "leased"
        case .released: "released"
        case .expired: "expired"
        case .restarted: "restarted"
        }
    }

    init?(name: some Collection<UInt8>) {
        guard let event = Self.allCases.first(where: { name.elementsEqual($0.name.utf8) }) else {
            return nil
        }
        self = event
    }
}

/// An event, and the generation of what it begins or ends.
struct ToldEvent: Equatable, Sendable {
    let event: ChangeEvent
    /// 0 where the record that ended could not be read.
    let generation: Store.Generation
}

/// A record of the journal of changes: the text `EVENT GENERATION SHARD COUNTER KEY`.
///
/// SHARD, two hexadecimal digits, and COUNTER name the intent that it was told by, so that whoever recovers a
/// killed change knows its own record. KEY is percent-encoded as the name of its file. Of `restarted` there is
/// the word alone, and the boot id behind it.
struct ChangeRecord: Equatable, Sendable {
    let event: ChangeEvent
    let generation: Store.Generation
    let shard: Int
    let counter: UInt64
    /// The key as its file is named.
    let name: [UInt8]

    /// More than any record has: the words, three numbers, 240 bytes of name.
    static let mostBytes = 320

    init(
        event: ChangeEvent, generation: Store.Generation, shard: Int, counter: UInt64,
        name: [UInt8]
    ) {
        self.event = event
        self.generation = generation
        self.shard = shard
        self.counter = counter
        self.name = name
    }

    var bytes: [UInt8] {
        var text = [UInt8]()
        text.reserveCapacity(Self.mostBytes)
        text.append(contentsOf: event.name.utf8)
        text.append(space)
        appendDecimal(generation, to: &text)
        text.append(space)
        text.append(contentsOf: hexadecimal(UInt64(shard), digits: 2))
        text.append(space)
        appendDecimal(counter, to: &text)
        text.append(space)
        text.append(contentsOf: name)
        return text
    }

    /// nil for what is no record of this format.
    init?(_ bytes: some Collection<UInt8>) {
        let words = bytes.split(separator: space, omittingEmptySubsequences: false)
        if words.count == 2, let event = ChangeEvent(name: words[0]), event == .restarted {
            self.init(event: event, generation: 0, shard: 0, counter: 0, name: [])
            return
        }
        guard words.count == 5, let event = ChangeEvent(name: words[0]), event != .restarted,
            let generation = decimal(words[1]), generation <= Limits.generation,
            words[2].count == 2, let high = words[2].first.flatMap(hexadecimalDigit),
            let low = words[2].dropFirst().first.flatMap(hexadecimalDigit),
            let counter = decimal(words[3]), PercentCode.decode(words[4]) != nil
        else { return nil }
        self.init(
            event: event, generation: generation, shard: Int(high) << 4 | Int(low),
            counter: counter, name: Array(words[4]))
    }

    /// The record that says that the events before it may tell more than what is left.
    static func restarted(_ boot: BootID) -> [UInt8] {
        Array(ChangeEvent.restarted.name.utf8) + [space] + Array(boot.text)
    }

    /// The key; nil for `restarted`.
    var key: Store.Key? { PercentCode.decode(name).map { Store.Key($0) } }
}

private let space = UInt8(ascii: " ")
