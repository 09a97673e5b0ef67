internal import SystemCalls

/// What one cell of a lease's file says: who has a slot of the lease, and until when.
///
/// A slot has two cells of 512 bytes, which are written in turn, each whole and in its place: so renewing and
/// releasing need no new blocks, and whatever ends a write half-way leaves the other cell. The valid one with
/// the higher sequence counts.
struct LeaseCell: Equatable, Sendable {
    /// Rises with each write of the slot.
    var sequence: UInt64 = 0
    var generation: Store.Generation
    var isReleased = false
    /// Its end was told, in a store that tells of its changes; a renewal begins it again.
    var isExpired = false
    /// The process with which the lease ends, if it does.
    var owner: ProcessIdentity?
    /// For messages.
    var processID: Int32
    /// For messages: the program's name, percent-encoded as keys are.
    var command: [UInt8]
    var place: Place
    var since: LeaseTime
    /// Microseconds; nil for a lease that ends with its owner alone.
    var timeToLive: Int64?
    var deadline: LeaseTime?
    /// For messages, on a network file system: the name of the holder's machine, percent-encoded as keys are.
    var host: [UInt8]?

    private var state: String.UTF8View {
        isReleased ? "released".utf8 : isExpired ? "expired".utf8 : "held".utf8
    }

    static let byteCount = 512
    static let bytesPerSlot = 2 * byteCount
    private static let longestCommand = 16

    /// A program's name as it stands in a cell.
    static func encode(command: [UInt8]) -> [UInt8] {
        PercentCode.encode(Array(command.prefix(longestCommand)))
    }

    /// The lines, the check, and spaces to the end of the cell.
    var bytes: [UInt8] {
        var text = RecordText()
        text.line("flock-cache-lease", decimal: UInt64(Limits.format), separator: " ")
        text.line("sequence", decimal: sequence)
        text.line("generation", decimal: generation)
        text.line("state", state)
        if let owner { text.process(owner) }
        text.writer(processID, command, at: place, since: since.stamp)
        // What else there is has up to 127 bytes; where the numbers are long there is no room for it.
        if let host, text.bytes.count + host.count < 376 { text.line("host", host) }
        if let timeToLive { text.line("ttl", decimal: UInt64(clamping: timeToLive)) }
        if let deadline { text.line("deadline", deadline.stamp) }
        text.check()
        var bytes = text.bytes
        precondition(bytes.count < Self.byteCount, "13 lines of bounded length")
        bytes.append(
            contentsOf: [UInt8](
                repeating: UInt8(ascii: " "), count: Self.byteCount - bytes.count - 1))
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// The sequence of a cell whose check holds; nil if it is none.
    ///
    /// Without taking it apart, which takes several times as long.
    static func sequence(of bytes: UnsafeRawBufferPointer) -> UInt64? {
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache-lease", separator: UInt8(ascii: " ")).flatMap(
                decimal)
                == UInt64(Limits.format),
            let sequence = unsafe lines.next(named: "sequence").flatMap(decimal),
            sequence < 1 << 62, unsafe lines.checkAtEnd(filler: UInt8(ascii: " "))
        else { return nil }
        return sequence
    }

    /// What a whole cell says; nil if it is none.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache-lease", separator: UInt8(ascii: " ")).flatMap(
                decimal)
                == UInt64(Limits.format),
            let sequence = unsafe lines.next(named: "sequence").flatMap(decimal),
            let generation = unsafe lines.next(named: "generation").flatMap(decimal),
            generation <= Limits.generation, sequence < 1 << 62,
            let state = unsafe lines.next(named: "state"), let owner = unsafe lines.process(),
            let writer = unsafe lines.writer()
        else { return nil }
        self.owner = owner
        host = unsafe lines.next(named: "host").map { unsafe Array($0) }
        timeToLive = unsafe lines.next(named: "ttl").flatMap(decimal).map { Int64(clamping: $0) }
        deadline = unsafe lines.next(named: "deadline").flatMap(Stamp.init).map { LeaseTime($0) }
        guard unsafe lines.check() else { return nil }
        self.sequence = sequence
        self.generation = generation
        isReleased = unsafe state.elementsEqual("released".utf8)
        isExpired = unsafe state.elementsEqual("expired".utf8)
        processID = writer.processID
        command = writer.command
        place = writer.place
        since = LeaseTime(writer.since)
    }
}
